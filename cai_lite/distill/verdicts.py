"""judge: which of two candidates keeps a principle better.

`pairwise` asks in both orders, always, and reads the log-probability share of the option tokens where the model tells
it (Lee et al. 2023, arXiv:2309.00267), else the word. `pointwise` scores each candidate alone, for judges too small to
compare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from cai_lite.chat.base import ChatModel
from cai_lite.distill.comparisons import compare
from cai_lite.distill.pairwise import pairwise
from cai_lite.distill.pointwise import pointwise
from cai_lite.distill.reading import Reason
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, draw
from cai_lite.records import Candidate, Verdict
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Tick


def judge(
    model: ChatModel,
    candidates: Sequence[Candidate],
    constitution: Constitution,
    *,
    rule: str = "revision_over_draft",
    mode: Literal["pairwise", "pointwise"] = "pairwise",
    principles: int = 2,
    votes: int = 1,
    until: float | None = None,
    drawn: bool | None = None,
    log_probs: Literal["auto", "never"] = "auto",
    reason: Reason = "none",
    max_tokens: int | None = None,
    first_index: int = 0,
    weight: float = 1.0,
    run: Run | None = None,
    progress: Tick | None = None,
    stage: str = "judge",
) -> list[Verdict]:
    """One verdict per comparison of the pairing rule and per principle drawn for the prompt.

    `votes`: how often each order is asked; several are drawn at temperature 1, one is greedy (`drawn` says otherwise).
    `until`: of a comparison, ask no more votes once the leading side is the better one with this probability (see
    `decided`). `reason`: what the judge says beside its letter: nothing, why (after it), or first a chain of thought
    (before it); a reason that quotes neither reply is no verdict but "abstain". `max_tokens`: room for all that.
    `first_index`: of the samples, so that votes that are known already are not taken for new ones. `weight`: of this
    judge among several; verdicts of several judges are joined by `pair`.

    Unreadable, refused and failed answers are verdicts of that name with no `p_first`: no pair is ever made of them.

    Raises:
        InputError: an unknown rule, or reasons from a model or in a mode that has none.
    """
    run = run or Run()
    if mode == "pointwise" and (reason != "none" or until is not None):
        raise InputError("judge: 'reason' and 'until' belong to mode pairwise")
    asked = [
        (comparison, principle)
        for comparison in compare(rule, candidates)
        for principle in draw(constitution, comparison.first.prompt, principles)
    ]
    common: dict[str, Any] = {
        "rule": rule,
        "weight": weight,
        "votes": votes,
        "drawn": drawn,
        "log_probs": log_probs == "auto",
        "max_tokens": max_tokens,
        "first_index": first_index,
        "run": run,
        "stage": stage,
        "progress": progress,
    }
    verdicts = (
        pointwise(model, asked, **common)
        if mode == "pointwise"
        else pairwise(model, asked, until=until, reason=reason, **common)
    )
    counts = Counter[str](row.choice for row in verdicts)
    run.count(
        f"{stage} {rule}",
        {"asked": len(verdicts), **counts, "flipped with the order": sum(v.flipped for v in verdicts)},
    )
    run.keep_rows("verdict", ((v.key, v.parents, _payload(v)) for v in verdicts))
    return verdicts


def _payload(verdict: Verdict) -> dict[str, object]:
    names = ("principle", "choice", "p_first", "order", "flipped", "judge", "rule", "text", "quotes")
    return {name: getattr(verdict, name) for name in names}
