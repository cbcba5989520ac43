"""judge: ask which of two candidates keeps a principle better.

`pairwise` always asks in both orders. It reads the verdict from the log-probabilities of the two option tokens where
the model gives them, else from the word it wrote. `pointwise` scores each candidate on its own, for judges too small to
compare two replies.

Source: Lee et al. 2023, arXiv:2309.00267 (both orders, log-probabilities of the option tokens).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cai_lite.chat.asking import Stage, stage_of
from cai_lite.chat.base import ChatModel
from cai_lite.distill.comparisons import Comparison, Question, compare
from cai_lite.distill.judging import Judging
from cai_lite.distill.pairwise import pairwise
from cai_lite.distill.pointwise import pointwise
from cai_lite.distill.reading import FAULTS
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
    judging: Judging | None = None,
    weight: float = 1.0,
    run: Run | None = None,
    progress: Tick | bool | None = None,
    stage: str | Stage = "judge",
    **settings: Any,
) -> list[Verdict]:
    """Return one verdict per comparison of the pairing rule and per principle drawn for the prompt.

    Unreadable, refused and failed replies become verdicts with that `choice` and no `p_first`; `pair` leaves them out.

    `rule`: a name in `PAIRINGS`. `judging`: how the judge is asked; `settings` replace single fields of it, such as
    `mode="pointwise"` or `votes=5`. `weight`: the weight of this judge among several; `pair` joins their verdicts.
    `run`: where calls and verdicts are stored; in memory if None. `stage`: the name under which calls are counted.
    `progress`: True shows a bar; a function is called with (done, total).

    Raises:
        InputError: a rule or setting is unknown, or a reason is asked for and the mode or the model gives none.
        Stopped: the stage watches its replies, and too few of them are usable.
    """
    judging, work = (judging or Judging()).but(**settings), stage_of(stage, run, progress)
    return judge_comparisons(model, compare(rule, candidates), constitution, judging, work, rule=rule, weight=weight)


def judge_comparisons(
    model: ChatModel,
    comparisons: Sequence[Comparison],
    constitution: Constitution,
    judging: Judging,
    stage: Stage,
    *,
    rule: str,
    weight: float = 1.0,
) -> list[Verdict]:
    """Return the verdicts of `judge` on ready comparisons. `rule`: the name that their verdicts bear."""
    asked = [
        Question(
            comparison,
            principle,
            tradeoffs=tuple(constitution.tradeoffs(comparison.first.prompt, principle.id)),
            over=constitution.yields_to(principle.id, comparison.first.prompt),
            over_if=constitution.yields_to(principle.id, comparison.first.prompt, conditional=True),
        )
        for comparison in comparisons
        for principle in draw(constitution, comparison.first.prompt, judging.principles)
    ]
    method = pointwise if judging.mode == "pointwise" else pairwise
    verdicts = method(model, asked, judging, stage, rule=rule, weight=weight)
    counts = Counter[str](row.choice for row in verdicts)
    flipped = sum(v.flipped for v in verdicts)
    stage.count({"asked": len(verdicts), **counts, "flipped with the order": flipped}, of=rule)
    stage.keep("verdict", ((v.key, v.parents, _payload(v)) for v in verdicts))
    stage.weigh(len(verdicts), {why: counts[why] for why in FAULTS}, section="judge", of="verdicts")
    return verdicts


def _payload(verdict: Verdict) -> dict[str, object]:
    names = ("principle", "choice", "p_first", "order", "flipped", "judge", "rule", "text", "quotes")
    return {name: getattr(verdict, name) for name in names}
