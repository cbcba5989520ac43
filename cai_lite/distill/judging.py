"""How a judge is asked: one frozen object, passed whole from the recipe to the request."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from cai_lite.errors import InputError, did_you_mean

Reason = Literal["none", "after", "before"]
CALLER = {"filled_with": "the caller"}  # no setting of a recipe: set by code that asks a second time


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """The settings of a judge.

    `mode`: compare two replies, or score each alone (for judges too small to compare). `principles`: how many are drawn
    for each comparison. `votes`: the number of verdicts asked per order, at most; several are drawn at temperature 1,
    one is greedy (`drawn` overrides this). `until`: stop asking for votes once the leading side is the better one with
    this probability. `log_probs`: read the verdict from log-probabilities where the model gives them, or "never".
    `reason`: what the judge says besides its letter: nothing, a reason "after" it, or a chain of thought "before" it; a
    reason has to quote a reply. `max_tokens`: room for all that; thinking models need some thousands. `first_index`:
    index of the first sample, so that earlier votes on the same question are not returned again.
    """

    mode: Literal["pairwise", "pointwise"] = "pairwise"
    principles: int = 2
    votes: int = 1
    until: float | None = None
    log_probs: Literal["auto", "never"] = "auto"
    reason: Reason = "none"
    max_tokens: int | None = None
    drawn: bool | None = field(default=None, metadata=CALLER)
    first_index: int = field(default=0, metadata=CALLER)

    def __post_init__(self) -> None:
        _check(self.principles >= 1, "principles", "at least 1", self.principles)
        _check(self.votes >= 1, "votes", "at least 1", self.votes)
        _check(self.until is None or 0.5 < self.until < 1, "until", "above 0.5 and below 1", self.until)
        _check(self.max_tokens is None or self.max_tokens >= 1, "max_tokens", "at least 1", self.max_tokens)
        if self.mode == "pointwise" and (self.reason != "none" or self.until is not None):
            raise ValueError("'reason' and 'until' belong to mode pairwise; leave them out")

    @property
    def reads_log_probs(self) -> bool:
        """Return True if log-probabilities are asked for; behind a chain of thought they tell nothing."""
        return self.log_probs == "auto" and self.reason != "before"

    @property
    def samples(self) -> bool:
        """Return True if verdicts are sampled at temperature 1, rather than greedily."""
        return self.votes > 1 if self.drawn is None else self.drawn

    def but(self, **settings: Any) -> Judging:
        """Return the same settings with some replaced.

        Raises:
            InputError: a setting is unknown or out of range.
        """
        known = [f.name for f in fields(Judging)]
        for name in settings:
            if name not in known:
                raise InputError(f"judge: unknown setting '{name}'{did_you_mean(name, known)}")
        try:
            return replace(self, **settings)
        except ValueError as error:
            raise InputError(f"judge: {error}") from error


def _check(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(f"'{name}' should be {expected}, got {got}")
