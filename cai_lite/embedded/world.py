"""The data structures of the toy world: a domain with its kinds of prompts, its rules and its slots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

HELD_OUT_PROMPTS = 4
HELD_OUT_LINES = 2

# Templates for training, those held out, and the two halves of those: only "held_out_first" was looked at while the
# models were made, and "held_out_last" was measured once, on the final weights.
Side = Literal["train", "held_out", "held_out_first", "held_out_last"]


def lines(block: str) -> tuple[str, ...]:
    """Return the lines of an indented block, stripped."""
    return tuple(line.strip() for line in block.strip().splitlines())


def side_of(templates: tuple[str, ...], side: Side, held_out: int = HELD_OUT_LINES) -> tuple[str, ...]:
    """Return the templates for training, or the last `held_out` ones, which are held out, or one half of those."""
    held = templates[-held_out:]
    halves = {"held_out": held, "held_out_first": held[: held_out // 2], "held_out_last": held[held_out // 2 :]}
    return templates[:-held_out] if side == "train" else halves[side]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The words that can fill a `{slot}`; `held_out` words occur in no training text."""

    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The toy world's version of the constitution's principle with the same id.

    `demands`: a reply without a sentence about the rule breaks it; otherwise such a reply keeps it.
    `good`, `bad`: sentences that keep and that break the rule. `wordings`: the rule in different words; the first is
    the text of the constitution. `applies_to`: tags of the prompts it applies to, as in the constitution; empty means
    all.
    """

    id: str
    demands: bool
    good: tuple[str, ...]
    bad: tuple[str, ...]
    wordings: tuple[str, ...]
    applies_to: tuple[str, ...] = ()

    def applies(self, tags: tuple[str, ...]) -> bool:
        """Return True if the rule applies to prompts with these tags."""
        return not self.applies_to or any(tag in tags for tag in self.applies_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of question, with two slots (`pair`) and its `share` (0 to 1) of the domain's prompts."""

    name: str
    tags: tuple[str, ...]
    prompts: tuple[str, ...]
    neutral: tuple[str, ...]
    pair: tuple[str, str]
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A domain of the toy world; a reply follows the order of `rules`."""

    name: str
    kinds: tuple[Kind, ...]
    rules: tuple[Rule, ...]
    slots: dict[str, Slot] = field(default_factory=dict)

    def rule(self, rule_id: str) -> Rule:
        """Return the rule with this id."""
        return next(rule for rule in self.rules if rule.id == rule_id)
