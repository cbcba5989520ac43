"""What the linter says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Prompt

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`line`: of the principle in its file. `level`: an "error" fails, a "warning" and a "note" do not."""

    line: int
    rule: str
    level: Level
    principle: str
    message: str
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the rules look at: a constitution and, where they are known, the prompts that it will meet."""

    constitution: Constitution
    prompts: Sequence[Prompt] = ()


Rule = Callable[[Subject], Iterator[Finding]]


def found(principle: Principle, rule: str, level: Level, message: str, mend: str) -> Finding:
    """A finding about one principle."""
    return Finding(line=principle.line, rule=rule, level=level, principle=principle.id, message=message, mend=mend)
