"""judge: which of two candidates keeps a principle better.

`pairwise` asks in both orders, always, and reads the log-probability share of the option tokens where the model tells
it (Lee et al. 2023, arXiv:2309.00267), else the word. `pointwise` scores each candidate alone, for judges too small to
compare.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal, cast

from cai_lite.chat.asking import Tick, ask
from cai_lite.chat.base import ChatModel
from cai_lite.constitution import Constitution, Principle, draw
from cai_lite.distill.comparisons import Comparison, compare
from cai_lite.distill.critiques import told
from cai_lite.distill.reading import PARSER, fault, first_word, spoken
from cai_lite.distill.wording import conversation, fill, fill_reply, mark_of, wording_of
from cai_lite.ledger import Run
from cai_lite.records import Candidate, Choice, Reply, Request, Sampling, Score, Verdict, digest

Fault = Literal["unreadable", "refused", "failed"]
Asked = Sequence[tuple[Comparison, Principle]]
_TIE = 0.01  # a share this near to one half says nothing


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
    log_probs: Literal["auto", "never"] = "auto",
    run: Run | None = None,
    progress: Tick | None = None,
    stage: str = "judge",
) -> list[Verdict]:
    """One verdict per comparison of the pairing rule and per principle drawn for the prompt.

    `votes`: how often each order is asked where the answer is drawn (temperature 1); 1 asks greedily. `until`: of a
    comparison, ask no more votes once the leading side is the better one with this probability (see `decided`).
    Unreadable, refused and failed answers are verdicts of that name with no `p_first`: no pair is ever made of them.
    """
    run = run or Run()
    asked = [
        (comparison, principle)
        for comparison in compare(rule, candidates)
        for principle in draw(constitution, comparison.first.prompt, principles)
    ]
    verdicts = (
        _pointwise(model, asked, rule, votes, log_probs == "auto", run, stage, progress)
        if mode == "pointwise"
        else _pairwise(model, asked, rule, votes, until, log_probs == "auto", run, stage, progress)
    )
    counts = Counter[str](row.choice for row in verdicts)
    run.count(
        f"{stage} {rule}",
        {"asked": len(verdicts), **counts, "flipped with the order": sum(v.flipped for v in verdicts)},
    )
    run.keep_rows(
        "verdict",
        (
            (
                v.key,
                v.parents,
                {
                    "principle": v.principle,
                    "choice": v.choice,
                    "p_first": v.p_first,
                    "order": v.order,
                    "flipped": v.flipped,
                    "judge": v.judge,
                    "rule": v.rule,
                    "text": v.text,
                },
            )
            for v in verdicts
        ),
    )
    return verdicts


def score(
    model: ChatModel,
    candidates: Sequence[tuple[Candidate, Principle]],
    *,
    run: Run,
    stage: str = "judge",
    log_probs: bool = True,
    votes: int = 1,
    progress: Tick | None = None,
) -> list[Score]:
    """Pointwise: the log-odds that a candidate keeps a principle, in nats, each alone; in the order given."""
    wording = wording_of(model.wording)
    options = (wording.keeps, wording.breaks)
    requests = [
        Request(
            messages=told(model, fill_reply(wording.pointwise, candidate, principle=principle.text)),
            index=index,
            sampling=_sampling(model, votes, log_probs),
            options=options if log_probs else (),
        )
        for candidate, principle in candidates
        for index in range(votes)
    ]
    replies = ask(model, requests, run=run, stage=stage, progress=progress)
    scores = []
    for place, (candidate, principle) in enumerate(candidates):
        mine = slice(place * votes, (place + 1) * votes)
        shares = [_share(reply, options, "") for reply in replies[mine]]
        read = [share for share in shares if isinstance(share, float)]
        scores.append(
            Score(
                key=digest("score", PARSER, [request.key(model.digest) for request in requests[mine]], candidate.key),
                candidate=candidate,
                principle=principle.id,
                log_odds=_logit(sum(read) / len(read)) if read else None,
                outcome="read" if read else cast(Fault, shares[0]),
                text=spoken(replies[mine][0].text),
            )
        )
    run.keep_rows(
        "score",
        ((s.key, s.parents, {"principle": s.principle, "log_odds": s.log_odds, "outcome": s.outcome}) for s in scores),
    )
    return scores


def _pointwise(
    model: ChatModel, asked: Asked, rule: str, votes: int, log_probs: bool, run: Run, stage: str, progress: Tick | None
) -> list[Verdict]:
    alone = {
        (candidate.key, principle.id): (candidate, principle)
        for comparison, principle in asked
        for candidate in (comparison.first, comparison.second)
    }
    scores = dict(
        zip(
            alone,
            score(
                model, list(alone.values()), run=run, stage=stage, log_probs=log_probs, votes=votes, progress=progress
            ),
            strict=True,
        )
    )
    verdicts = []
    for comparison, principle in asked:
        a, b = (scores[candidate.key, principle.id] for candidate in (comparison.first, comparison.second))
        choice: Choice
        if a.log_odds is None or b.log_odds is None:
            p_first, choice = None, cast(Choice, a.outcome if a.log_odds is None else b.outcome)
        else:
            # Not the sigmoid of the difference: two candidates that both surely keep the principle do not differ.
            p_first = 0.5 + (_sigmoid(a.log_odds) - _sigmoid(b.log_odds)) / 2
            choice = _choice(p_first)
        verdicts.append(
            Verdict(
                key=digest("verdict", rule, a.key, b.key),
                first=comparison.first,
                second=comparison.second,
                principle=principle.id,
                choice=choice,
                p_first=p_first,
                order="none",
                judge=model.name,
                rule=rule,
                weight=principle.weight,
            )
        )
    return verdicts


def decided(first: int, second: int, until: float) -> bool:
    """Whether so many votes for each side settle who is better, with probability `until`.

    The share of votes for a side is unknown and any share as likely as another; so P(share > 1/2) is a sum of binomial
    terms (Beta(first + 1, second + 1) above one half).
    """
    n, most = first + second + 1, max(first, second)
    return bool(sum(math.comb(n, k) for k in range(most + 1)) >= until * 2**n)


def _pairwise(
    model: ChatModel,
    asked: Asked,
    rule: str,
    votes: int,
    until: float | None,
    log_probs: bool,
    run: Run,
    stage: str,
    progress: Tick | None,
) -> list[Verdict]:
    wording = wording_of(model.wording)
    options = (wording.first, wording.second)
    texts = []
    for comparison, principle in asked:
        prompt = conversation(comparison.first.prompt.messages)
        one, other = comparison.first.text, comparison.second.text
        texts.append(
            [
                fill(
                    wording.pairwise,
                    prompt=prompt,
                    first=a,
                    second=b,
                    principle=principle.text,
                    mark=mark_of(prompt, a, b),
                )
                for a, b in ((one, other), (other, one))
            ]
        )
    replies: list[tuple[list[Reply], list[Reply]]] = [([], []) for _ in asked]
    keys: list[list[str]] = [[] for _ in asked]
    # All votes at once, or one of each order at a time while there is doubt.
    for indices in [[i] for i in range(votes)] if until is not None else [list(range(votes))]:
        doubtful = [
            place for place in range(len(asked)) if until is None or not _settled(*replies[place], options, until)
        ]
        requests = [
            Request(
                messages=told(model, text),
                sampling=_sampling(model, votes, log_probs),
                index=index,
                options=options if log_probs else (),
            )
            for place in doubtful
            for text in texts[place]
            for index in indices
        ]
        arrived = iter(ask(model, requests, run=run, stage=stage, progress=progress))
        made = iter(requests)
        for place in doubtful:
            for order in replies[place]:
                order.extend(next(arrived) for _ in indices)
            keys[place].extend(next(made).key(model.digest) for _ in range(2 * len(indices)))
    verdicts = []
    for (comparison, principle), (as_asked, swapped), of_calls in zip(asked, replies, keys, strict=True):
        choice, p_first, flipped = _both_orders(as_asked, swapped, options, wording.tie)
        verdicts.append(
            Verdict(
                key=digest("verdict", PARSER, rule, comparison.first.key, comparison.second.key, of_calls),
                first=comparison.first,
                second=comparison.second,
                principle=principle.id,
                choice=choice,
                p_first=p_first,
                order="both",
                judge=model.name,
                rule=rule,
                weight=principle.weight,
                flipped=flipped,
                text=spoken(as_asked[0].text),
            )
        )
    return verdicts


def _settled(as_asked: Sequence[Reply], swapped: Sequence[Reply], options: tuple[str, ...], until: float) -> bool:
    one = [share for reply in as_asked if isinstance(share := _share(reply, options, ""), float)]
    two = [1 - share for reply in swapped if isinstance(share := _share(reply, options, ""), float)]
    votes = one + two
    return decided(sum(v > 0.5 for v in votes), sum(v < 0.5 for v in votes), until)


def _both_orders(
    as_asked: Sequence[Reply], swapped: Sequence[Reply], options: tuple[str, ...], tie: str
) -> tuple[Choice, float | None, bool]:
    """(choice, p_first, flipped) of one comparison."""
    one = [_share(reply, options, tie) for reply in as_asked]
    two = [_share(reply, options, tie) for reply in swapped]
    read_one, read_two = ([s for s in shares if isinstance(s, float)] for shares in (one, two))
    if not read_one or not read_two:
        why = next(s for s in (*one, *two) if isinstance(s, str))
        return cast(Choice, why), None, False
    first, second = sum(read_one) / len(read_one), 1 - sum(read_two) / len(read_two)
    flipped = (first - 0.5) * (second - 0.5) < 0
    if flipped and not all(reply.log_probs for reply in (*as_asked, *swapped)):
        return "tie", 0.5, True  # without log-probabilities a flip leaves nothing to weigh
    p_first = (first + second) / 2
    return _choice(p_first), p_first, flipped


def _share(reply: Reply, options: tuple[str, ...], tie: str) -> float | Fault:
    """The share of the first option, 0 to 1: of its log-probability where it is told, else by the word.

    A fault is its name.
    """
    if reply.log_probs is not None:
        first, second = (reply.log_probs[option] for option in options)
        return _sigmoid(first - second)
    why = fault(reply)
    if why == "refused" or why == "failed":
        return cast(Fault, why)
    said = first_word(reply.text, (*options, tie))
    if why == "empty" or said is None:
        return "unreadable"
    return 0.5 if said == tie else float(said == options[0])


def _sampling(model: ChatModel, votes: int, log_probs: bool) -> Sampling:
    """Room for one word where its log-probability is read (servers that tell none still say the word), else for a
    reason too.
    """
    room = 64 if not log_probs else 1 if model.wording == "short" else 8
    return Sampling(temperature=1.0 if votes > 1 else 0.0, max_tokens=room)


def _choice(p_first: float) -> Choice:
    return "tie" if abs(p_first - 0.5) < _TIE else "first" if p_first > 0.5 else "second"


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _logit(p: float) -> float:
    p = min(max(p, 1e-12), 1 - 1e-12)
    return math.log(p) - math.log1p(-p)
