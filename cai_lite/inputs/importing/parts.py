"""What an imported policy consists of: principles, and the lines that are none, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One principle in the words of the policy.

    `lines`: the lines of the file that its words stand in, lead-in included. `under`: its headings, outermost first,
    and its lead-in where that is not part of `text`. `critique`, `revise`: the requests of the file, or empty.
    `entry`: its name or number in JSON or YAML.
    """

    text: str
    lines: tuple[int, ...]
    under: tuple[str, ...] = ()
    critique: str = ""
    revise: str = ""
    name: str = ""
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """A part of the policy that became no principle, and the reason."""

    line: int
    text: str
    reason: str


@dataclass(slots=True)
class Policy:
    """What was read from one file. Each of its lines is in a principle, a heading, a lead-in or `left`.

    `headings`, `leads`: their texts by line.
    """

    taken: list[Taken] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    headings: dict[int, str] = field(default_factory=dict)
    leads: dict[int, str] = field(default_factory=dict)
