"""Pointwise judging: score each candidate on its own.

It serves judges that are too small to compare two replies, and the scoring of single replies in an evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.distill.comparisons import Question
from cai_lite.distill.critiques import task_messages
from cai_lite.distill.judging import Judging
from cai_lite.distill.reading import PARSER, Fault, choice_of, logit, sampling_of, share, sigmoid, spoken
from cai_lite.distill.wording import fill_reply, wording_of
from cai_lite.inputs.constitution import Principle
from cai_lite.records import Candidate, Choice, Request, Score, Verdict, digest


def score(
    model: ChatModel,
    candidates: Sequence[tuple[Candidate, Principle]],
    judging: Judging,
    stage: Stage,
) -> list[Score]:
    """Return one score per (candidate, principle), in the order given.

    `Score.log_odds` is the log-odds, in nats, that the candidate keeps the principle, from its mean probability
    over the votes.
    """
    votes = judging.votes
    wording = wording_of(model.wording)
    options = (wording.keeps, wording.breaks)
    sampling = sampling_of(model, judging)
    requests = [
        Request(
            messages=task_messages(
                model, fill_reply(wording.pointwise, candidate, stage.run.secret, principle=principle.behaviour)
            ),
            index=judging.first_index + index,
            sampling=sampling,
            options=options if judging.reads_log_probs else (),
        )
        for candidate, principle in candidates
        for index in range(votes)
    ]
    replies = stage.ask(model, requests, section="judge")
    scores = []
    for position, (candidate, principle) in enumerate(candidates):
        own = slice(position * votes, (position + 1) * votes)  # the calls of this candidate
        shares = [share(reply, options) for reply in replies[own]]
        read = [p for p in shares if isinstance(p, float)]
        scores.append(
            Score(
                key=digest("score", PARSER, [request.key(model.digest) for request in requests[own]], candidate.key),
                candidate=candidate,
                principle=principle.id,
                log_odds=logit(sum(read) / len(read)) if read else None,
                outcome="read" if read else cast(Fault, shares[0]),
                text=spoken(replies[own][0].text),
            )
        )
    stage.keep(
        "score",
        ((s.key, s.parents, {"principle": s.principle, "log_odds": s.log_odds, "outcome": s.outcome}) for s in scores),
    )
    return scores


def pointwise(
    model: ChatModel,
    asked: Sequence[Question],
    judging: Judging,
    stage: Stage,
    *,
    rule: str,
    weight: float,
) -> list[Verdict]:
    """Return one verdict per comparison and principle, in the order of `asked`, from the scores of both candidates.

    Each candidate is scored once per principle, however many comparisons it is in. `rule`: the name of the pairing
    rule; it is stored with the verdicts. `weight`: the weight of this judge.
    """
    alone = {
        (candidate.key, principle.id): (candidate, principle)
        for comparison, principle, *_ in asked
        for candidate in (comparison.first, comparison.second)
    }
    scored = score(model, list(alone.values()), judging, stage)
    scores = dict(zip(alone, scored, strict=True))
    verdicts = []
    for comparison, principle, _, over, over_if in asked:
        a, b = (scores[candidate.key, principle.id] for candidate in (comparison.first, comparison.second))
        choice: Choice
        if a.log_odds is None or b.log_odds is None:
            p_first, choice = None, cast(Choice, a.outcome if a.log_odds is None else b.outcome)
        else:
            # The difference of the probabilities, not the sigmoid of the difference in log-odds: two candidates that
            # both almost surely keep the principle should tie, even if their log-odds differ.
            p_first = 0.5 + (sigmoid(a.log_odds) - sigmoid(b.log_odds)) / 2
            choice = choice_of(p_first)
        verdicts.append(
            Verdict(
                key=digest("verdict", rule, a.key, b.key, weight),
                first=comparison.first,
                second=comparison.second,
                principle=principle.id,
                choice=choice,
                p_first=p_first,
                order="none",
                judge=model.name,
                rule=rule,
                weight=principle.weight * weight,
                over=over,
                over_if=over_if,
            )
        )
    return verdicts
