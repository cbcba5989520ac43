"""pair: make preference pairs from verdicts. Verdicts that could not be read make no pair."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cai_lite.inputs.pairs import pair_lines
from cai_lite.records import Candidate, Message, PreferencePair, Verdict, digest
from cai_lite.run.files import write_aside, write_manifest
from cai_lite.run.ledger import Run

_ROUNDING = 1e-9  # |0.7 - 0.5| is a little less than |0.3 - 0.5|
CLEAR = 0.25  # |p - 0.5| from which one side alone is taken to violate a principle
AFTER_THOUGHT = 0.6  # the highest label of a verdict that came after a chain of thought


def pair(
    verdicts: Sequence[Verdict],
    *,
    min_margin: float = 0.0,
    soft_labels: bool = True,
    clamp: float | None = None,
    per_prompt: int | None = None,
    run: Run | None = None,
) -> list[PreferencePair]:
    """Return one pair for each comparison whose verdicts favour one side by at least `min_margin`.

    The verdicts of one comparison, from several principles and judges, are joined: their weighted mean is the pair's
    probability, and the principle that contributed most to the choice is the pair's principle.

    Where a decided conflict of the constitution prefers a principle that one side alone violates, the principle that
    yields cannot speak for that side, and if others still do, there is no pair. A conflict with a condition in words
    (`when`) silences nobody, since only a reader can tell whether it holds, but no pair goes against its preference.

    `min_margin`: least |p - 0.5| of a pair, 0 to 0.5, before clamping.
    `soft_labels`: label the pair with its probability; if False, every label is 1.
    `clamp`: upper limit of the soft label, 0.5 to 1. None means 0.6 for verdicts after a chain of thought, whose
    probability is nearly 0 or 1, and no limit otherwise.
    `run`: a run directory gets pairs.jsonl; the pairs of an earlier call are moved aside.
    `per_prompt`: at most N pairs per prompt and rule, those with the widest margins; None keeps all.

    Source: Bai et al. 2022, arXiv:2212.08073, section 4.1 (clamping after a chain of thought).
    """
    run = run or Run()
    pairs = pairs_of(
        verdicts,
        min_margin=min_margin,
        soft_labels=soft_labels,
        clamp=clamp,
        per_prompt=per_prompt,
        run=run,
        stage="pair",
    )
    if run.directory is not None:
        write_aside(run.path("pairs.jsonl"), pair_lines(pairs))
        for line in write_manifest(run.directory, "pairs.jsonl"):
            warnings.warn(line, stacklevel=2)
    return pairs


def pairs_of(
    verdicts: Sequence[Verdict],
    *,
    min_margin: float,
    soft_labels: bool,
    clamp: float | None,
    per_prompt: int | None,
    run: Run,
    stage: str,
) -> list[PreferencePair]:
    """Return the pairs of `pair` and keep their rows, but write no file; `stage` is the name of their counts."""
    counts = Counter[str]()
    joined: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.p_first is None:
            counts[verdict.choice] += 1  # refused, failed or unreadable: not a verdict
            continue
        joined.setdefault((verdict.rule, verdict.first.key, verdict.second.key), []).append(verdict)
    borda = _borda_scores([group for (rule, _, _), group in joined.items() if rule == "ranked"])
    found: dict[tuple[str, str], list[PreferencePair]] = {}
    for comparison in list(joined):
        group = joined.pop(comparison)  # so that verdicts and pairs of the same comparison are not both held
        p_first = _joint_probability(group)
        margin = abs(p_first - 0.5)
        if any(_disagree(_p(v), p_first) for v in _decisive(group)):
            counts["vetoed by a decided conflict"] += 1
            continue
        if margin <= 0 or margin < min_margin - _ROUNDING:
            counts["flipped with the order" if all(v.flipped for v in group) else "margin too small"] += 1
            continue
        if (
            group[0].rule == "ranked"
            and (p_first - 0.5) * (borda[group[0].first.key] - borda[group[0].second.key]) <= 0
        ):
            counts["against the ranking"] += 1
            continue
        made = _pair(group, p_first, margin, soft_labels, clamp)
        found.setdefault((group[0].rule, group[0].first.prompt.key), []).append(made)
    pairs: dict[str, PreferencePair] = {}
    for prompt in list(found):
        widest = sorted(found.pop(prompt), key=lambda row: (-row.margin, row.key))
        kept = widest[:per_prompt]
        counts["more than wanted of a prompt"] += len(widest) - len(kept)
        for row in kept:
            content = digest(row.prompt, row.chosen, row.rejected)
            if content in pairs:
                counts["duplicate"] += 1
            pairs.setdefault(content, row)
    rows = list(pairs.values())
    run.count(stage, {"pairs": len(rows), **{label: n for label, n in counts.items() if n}})
    run.keep_rows(
        "pair",
        (
            (
                row.key,
                row.parents,
                {"principle": row.principle, "p_chosen": row.p_chosen, "margin": row.margin, "rule": row.rule},
            )
            for row in rows
        ),
        replace=True,  # a verdict that was damaged and asked for again may differ in its last digits
    )
    return rows


def mean_shares(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Return each candidate's mean probability of being better, 0 to 1, over all its comparisons with a verdict."""
    joined: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.p_first is not None:
            joined.setdefault((verdict.first.key, verdict.second.key), []).append(verdict)
    return _borda_scores(list(joined.values()))


def _pair(
    group: Sequence[Verdict], p_first: float, margin: float, soft_labels: bool, clamp: float | None
) -> PreferencePair:
    first, second = group[0].first, group[0].second
    chosen, rejected = (first, second) if p_first > 0.5 else (second, first)
    sign = 1.0 if p_first > 0.5 else -1.0
    highest = clamp if clamp is not None else AFTER_THOUGHT if any(v.reasoned for v in group) else 1.0
    counted, vetoed = _settled(group)
    decisive = max(counted, key=lambda v: (sign * v.weight * (_p(v) - 0.5), v.principle))
    return PreferencePair(
        key=digest("pair", [v.key for v in group], soft_labels, highest, *([v.key for v in vetoed],) * bool(vetoed)),
        prompt=first.prompt.messages,
        chosen=_completion(chosen),
        rejected=_completion(rejected),
        principle=decisive.principle,
        p_chosen=min(0.5 + margin, highest) if soft_labels else 1.0,
        margin=margin,
        rule=group[0].rule,
        family=first.prompt.family,
        parents=(chosen.key, rejected.key, *(v.key for v in group)),
        evidence={
            "chosen_by": chosen.author,
            "rejected_by": rejected.author,
            "verdicts": [_evidence(v, p_first, vetoed=v in vetoed) for v in group],
        },
    )


def _joint_probability(group: Sequence[Verdict]) -> float:
    """Return the probability that the first candidate is better: the weighted mean over principles and judges.

    Verdicts that a decided conflict vetoes do not count.
    """
    counted, _ = _settled(group)
    return sum(v.weight * _p(v) for v in counted) / sum(v.weight for v in counted)


def _settled(group: Sequence[Verdict]) -> tuple[list[Verdict], list[Verdict]]:
    """Return the verdicts that count, and those that a decided conflict vetoes.

    Where one side alone violates a preferred principle, a principle that yields to it cannot speak for that side.
    """
    decisive = _decisive(group)
    vetoed = [v for v in group if any(v.principle in d.over and _disagree(_p(v), _p(d)) for d in decisive)]
    return [v for v in group if v not in vetoed], vetoed


def _decisive(group: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts of preferred principles that clearly favour one side."""
    return [v for v in group if (v.over or v.over_if) and v.p_first is not None and abs(v.p_first - 0.5) >= CLEAR]


def _p(verdict: Verdict) -> float:
    """Return the probability that the first candidate is better; `pair` leaves verdicts without one out beforehand."""
    assert verdict.p_first is not None
    return verdict.p_first


def _disagree(p: float, q: float) -> bool:
    """Return True if two probabilities favour different sides."""
    return (p - 0.5) * (q - 0.5) < 0


def _borda_scores(groups: Sequence[Sequence[Verdict]]) -> dict[str, float]:
    """Return each candidate's Borda score, 0 to 1: its mean probability of being better, over all its comparisons."""
    shares: dict[str, list[float]] = {}
    for group in groups:
        p_first = _joint_probability(group)
        shares.setdefault(group[0].first.key, []).append(p_first)
        shares.setdefault(group[0].second.key, []).append(1 - p_first)
    return {key: sum(values) / len(values) for key, values in shares.items()}


def _completion(candidate: Candidate) -> tuple[Message, ...]:
    return (Message("assistant", candidate.text),)


def _evidence(verdict: Verdict, p_first: float, *, vetoed: bool) -> dict[str, Any]:
    """Return one verdict as it stands in pairs.jsonl, with the probability of the chosen side."""
    p = _p(verdict)
    evidence: dict[str, Any] = {
        "principle": verdict.principle,
        "p_chosen": round(p if p_first > 0.5 else 1 - p, 6),
        "judge": verdict.judge,
        "order": verdict.order,
        "flipped": verdict.flipped,
        "text": verdict.text,
    }
    if verdict.quotes:
        evidence["quotes"] = list(verdict.quotes)
    if vetoed:
        evidence["vetoed"] = True
    return evidence
