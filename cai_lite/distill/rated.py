"""Turn what the judges of a run said into ratings, from which a preference model learns.

A pairing rule compares few of the candidates of a prompt; here all of them are compared that a judge has scored alone,
under each principle and over all of its principles. Verdicts of a judge that compares are taken as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from cai_lite.distill.reading import sigmoid
from cai_lite.records import Message, Prompt, Rating, digest
from cai_lite.run.ledger import Run

LEAST = 0.1  # |p - 0.5| below which a verdict says too little to be learnt
PER_QUESTION = 6  # comparisons of a prompt under one principle, and as many over all of them


class _Compared(NamedTuple):
    first: str
    second: str
    p_first: float


def ratings_of_run(
    run: Run,
    prompts: Sequence[Prompt],
    texts: Mapping[str, str],
    *,
    rules: Collection[str],
    weights: Mapping[str, float],
    min_margin: float,
    soft_labels: bool,
) -> list[Rating]:
    """Return ratings by principle, which have the principle's text, and joint ones over all principles, without.

    `prompts`: those whose candidates are used. `texts`: texts of the principles by id; verdicts under others are left
    out. `rules`: the pairing rules whose verdicts count. `weights`: of the principles, in the joint probability.
    `min_margin`: least |p - 0.5| of a joint rating; by principle it is `LEAST`. `soft_labels`: label by the
    probability; if False, every label is 1. Of several judges' scores of a candidate the mean counts. Of each question
    at most `PER_QUESTION` comparisons are taken, whichever their digests choose. The better answer is the first.
    """
    of_prompt = {prompt.key: prompt for prompt in prompts}
    candidates = {key: (parents, payload["text"]) for key, parents, payload in run.rows("candidate")}
    compared = _compared(run, candidates, of_prompt, texts, rules)
    found: list[Rating] = []
    joint: dict[str, dict[tuple[str, str], dict[str, float]]] = {}
    for (prompt, principle), rows in sorted(compared.items()):
        for row in rows:
            joint.setdefault(prompt, {}).setdefault((row.first, row.second), {})[principle] = row.p_first
        chosen = _some(rows, LEAST)
        found += (
            _rating(of_prompt[prompt], row, candidates, soft_labels, principle, texts[principle]) for row in chosen
        )
    for prompt, sides in sorted(joint.items()):
        rows = []
        for (first, second), by_principle in sides.items():
            total = sum(weights.get(principle, 1.0) for principle in by_principle)
            p = sum(weights.get(principle, 1.0) * p for principle, p in by_principle.items()) / total
            rows.append(_Compared(first, second, p))
        found += (_rating(of_prompt[prompt], row, candidates, soft_labels) for row in _some(rows, min_margin))
    return found


def _compared(
    run: Run,
    candidates: Mapping[str, tuple[list[str], str]],
    prompts: Mapping[str, Prompt],
    texts: Mapping[str, str],
    rules: Collection[str],
) -> dict[tuple[str, str], list[_Compared]]:
    """Return all comparisons by prompt and principle, each pair of candidates once, in the order of their keys."""
    asked: dict[tuple[str, str], set[str]] = {}  # candidates that were scored alone
    probabilities: dict[tuple[str, str, str, str], list[float]] = {}  # of those that were compared
    for _, (first, second), payload in run.rows("verdict"):
        prompt, principle = _prompt_of(first, candidates), payload["principle"]
        if prompt not in prompts or principle not in texts or payload["rule"] not in rules:
            continue
        if payload["p_first"] is None:
            continue
        if payload["order"] == "none":
            asked.setdefault((prompt, principle), set()).update((first, second))
        else:
            swapped = second < first
            a, b = (second, first) if swapped else (first, second)
            p = 1 - payload["p_first"] if swapped else payload["p_first"]
            probabilities.setdefault((prompt, principle, a, b), []).append(p)
    scores: dict[tuple[str, str], list[float]] = {}
    for _, (candidate, *_), payload in run.rows("score"):
        if payload["log_odds"] is not None:
            scores.setdefault((candidate, payload["principle"]), []).append(sigmoid(payload["log_odds"]))
    found: dict[tuple[str, str], list[_Compared]] = {}
    for (prompt, principle), of_prompt in asked.items():
        known = {key: _mean(scores[key, principle]) for key in sorted(of_prompt) if (key, principle) in scores}
        for a, b in combinations(known, 2):
            found.setdefault((prompt, principle), []).append(_Compared(a, b, 0.5 + (known[a] - known[b]) / 2))
    for (prompt, principle, a, b), shares in probabilities.items():
        found.setdefault((prompt, principle), []).append(_Compared(a, b, _mean(shares)))
    return found


def _some(rows: Iterable[_Compared], least: float) -> Iterator[_Compared]:
    """Yield the comparisons that are clear enough, the better side first, at most `PER_QUESTION` of them."""
    clear = [row for row in rows if abs(row.p_first - 0.5) >= max(least, 1e-9)]
    for row in sorted(clear, key=lambda row: digest("rated", row.first, row.second))[:PER_QUESTION]:
        yield row if row.p_first > 0.5 else _Compared(row.second, row.first, 1 - row.p_first)


def _rating(
    prompt: Prompt,
    row: _Compared,
    candidates: Mapping[str, tuple[list[str], str]],
    soft_labels: bool,
    principle: str = "",
    text: str = "",
) -> Rating:
    return Rating(
        prompt=prompt.messages,
        completions=tuple((Message("assistant", candidates[key][1]),) for key in (row.first, row.second)),
        p=row.p_first if soft_labels else 1.0,
        principle=principle,
        text=text,
        key=digest("rating", row.first, row.second, principle, text),
        family=prompt.family,
    )


def _prompt_of(key: str, candidates: Mapping[str, tuple[list[str], str]]) -> str:
    """Return the key of a candidate's prompt; a revision's first parent is its draft."""
    while key in candidates and candidates[key][0]:
        key = candidates[key][0][0]
    return key


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
