"""The nouns of the toy world. A domain is data: prompts, neutral sentences, and a good and a bad pole for each rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

HELD_OUT_PROMPTS = 4
HELD_OUT_LINES = 2

Side = Literal["train", "held_out"]


def lines(block: str) -> tuple[str, ...]:
    """The lines of an indented block, stripped, in order."""
    return tuple(line.strip() for line in block.strip().splitlines())


def side_of(templates: tuple[str, ...], side: Side, held_out: int = HELD_OUT_LINES) -> tuple[str, ...]:
    """The templates that training may see, or the last few that it may not."""
    return templates[:-held_out] if side == "train" else templates[-held_out:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The words that may stand in a `{slot}`. `held_out` words occur in no training text."""

    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A principle of the constitution with the same id, as the toy world speaks of it.

    `demands`: the rule is broken where nothing of its kind is said; else it is kept by silence.
    `good`, `bad`: sentences that keep it and that break it. `wordings`: the rule in other words; the first is the
    constitution's text. `applies_to`: tags of the prompts that it applies to, as in the constitution; empty: all.
    """

    id: str
    demands: bool
    good: tuple[str, ...]
    bad: tuple[str, ...]
    wordings: tuple[str, ...]
    applies_to: tuple[str, ...] = ()

    def applies(self, tags: tuple[str, ...]) -> bool:
        return not self.applies_to or any(tag in tags for tag in self.applies_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of question. `pair`: the two slots of its prompts. `share`: of the domain's prompts, 0 to 1."""

    name: str
    tags: tuple[str, ...]
    prompts: tuple[str, ...]
    neutral: tuple[str, ...]
    pair: tuple[str, str]
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A domain. `rules` stand in the order in which a reply speaks of them."""

    name: str
    kinds: tuple[Kind, ...]
    rules: tuple[Rule, ...]
    slots: dict[str, Slot] = field(default_factory=dict)

    def rule(self, rule_id: str) -> Rule:
        return next(rule for rule in self.rules if rule.id == rule_id)
