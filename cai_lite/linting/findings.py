"""The findings of the linter, and the interface of its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Prompt

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A fault that a rule found, and how to fix it (`mend`).

    `line`: the line of the principle in its file. `level`: only an "error" makes the command fail.
    """

    line: int
    rule: str
    level: Level
    principle: str
    message: str
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The input of the rules: a constitution and, if known, the prompts it will be used with."""

    constitution: Constitution
    prompts: Sequence[Prompt] = ()


Rule = Callable[[Subject], Iterator[Finding]]


def found(principle: Principle, rule: str, level: Level, message: str, mend: str) -> Finding:
    """Return a finding about one principle."""
    return Finding(line=principle.line, rule=rule, level=level, principle=principle.id, message=message, mend=mend)
