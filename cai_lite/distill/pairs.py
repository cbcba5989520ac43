"""pair: preference pairs out of verdicts, and only out of verdicts that could be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cai_lite.records import Candidate, Message, PreferencePair, Verdict, digest
from cai_lite.run.ledger import Run

_ROUNDING = 1e-9  # |0.7 - 0.5| is a little less than |0.3 - 0.5|
AFTER_THOUGHT = 0.6  # the highest label of a verdict that came after a chain of thought


def pair(
    verdicts: Sequence[Verdict],
    *,
    min_margin: float = 0.0,
    soft_labels: bool = True,
    clamp: float | None = None,
    per_prompt: int | None = None,
    run: Run | None = None,
    stage: str = "pair",
) -> list[PreferencePair]:
    """One pair per comparison whose verdicts, weighed together, favour one side by at least `min_margin`.

    Verdicts of one comparison under several principles are joined: their weighted mean is the pair's probability, and
    the principle that moved it most gives its name. `min_margin` holds before clamping; `clamp` bounds the label alone;
    None bounds it at 0.6 where the judge thought aloud first (its share is then nearly 0 or 1; Bai et al. 2022, section
    4.1).
    `per_prompt`: at most so many pairs of a prompt and rule, the widest margins first. `soft_labels=False` makes every
    label 1.
    """
    run = run or Run()
    counts = Counter[str]()
    joined: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.p_first is None:
            counts[verdict.choice] += 1  # a fault is never a verdict
            continue
        joined.setdefault((verdict.rule, verdict.first.key, verdict.second.key), []).append(verdict)
    standing = _standing([group for (rule, _, _), group in joined.items() if rule == "ranked"])
    found: dict[tuple[str, str], list[PreferencePair]] = {}
    for group in joined.values():
        p_first = _joined(group)
        margin = abs(p_first - 0.5)
        if margin <= 0 or margin < min_margin - _ROUNDING:
            counts["flipped with the order" if all(v.flipped for v in group) else "margin too small"] += 1
            continue
        if (
            group[0].rule == "ranked"
            and (p_first - 0.5) * (standing[group[0].first.key] - standing[group[0].second.key]) <= 0
        ):
            counts["against the ranking"] += 1
            continue
        made = _pair(group, p_first, margin, soft_labels, clamp)
        found.setdefault((group[0].rule, group[0].first.prompt.key), []).append(made)
    pairs: dict[str, PreferencePair] = {}
    for of_prompt in found.values():
        widest = sorted(of_prompt, key=lambda row: (-row.margin, row.key))
        kept = widest[:per_prompt]
        counts["more than wanted of a prompt"] += len(widest) - len(kept)
        for row in kept:
            same = digest(row.prompt, row.chosen, row.rejected)
            if same in pairs:
                counts["duplicate"] += 1
            pairs.setdefault(same, row)
    rows = list(pairs.values())
    run.count(stage, {"pairs": len(rows), **{what: n for what, n in counts.items() if n}})
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
    )
    return rows


def _pair(
    group: Sequence[Verdict], p_first: float, margin: float, soft_labels: bool, clamp: float | None
) -> PreferencePair:
    first, second = group[0].first, group[0].second
    chosen, rejected = (first, second) if p_first > 0.5 else (second, first)
    towards = 1.0 if p_first > 0.5 else -1.0
    highest = clamp if clamp is not None else AFTER_THOUGHT if any(v.reasoned for v in group) else 1.0
    most = max(group, key=lambda v: (towards * v.weight * ((v.p_first or 0.5) - 0.5), v.principle))
    return PreferencePair(
        key=digest("pair", [v.key for v in group], soft_labels, highest),
        prompt=first.prompt.messages,
        chosen=_said(chosen),
        rejected=_said(rejected),
        principle=most.principle,
        p_chosen=min(0.5 + margin, highest) if soft_labels else 1.0,
        margin=margin,
        rule=group[0].rule,
        family=first.prompt.family,
        parents=(chosen.key, rejected.key, *(v.key for v in group)),
        evidence={
            "chosen_by": chosen.author,
            "rejected_by": rejected.author,
            "verdicts": [_evidence(v, p_first) for v in group],
        },
    )


def _joined(group: Sequence[Verdict]) -> float:
    """The weighted mean probability that the first of a comparison is better, over principles and judges."""
    return sum(v.weight * (v.p_first or 0.0) for v in group) / sum(v.weight for v in group)


def _standing(groups: Sequence[Sequence[Verdict]]) -> dict[str, float]:
    """Of each candidate the mean probability of being better, over all its comparisons (its Borda score): the ranking
    of the candidates of a prompt.
    """
    shares: dict[str, list[float]] = {}
    for group in groups:
        p_first = _joined(group)
        shares.setdefault(group[0].first.key, []).append(p_first)
        shares.setdefault(group[0].second.key, []).append(1 - p_first)
    return {key: sum(values) / len(values) for key, values in shares.items()}


def _said(candidate: Candidate) -> tuple[Message, ...]:
    return (Message("assistant", candidate.text),)


def _evidence(verdict: Verdict, p_first: float) -> dict[str, Any]:
    """One verdict, seen from the chosen side."""
    p = verdict.p_first if verdict.p_first is not None else 0.5
    return {
        "principle": verdict.principle,
        "p_chosen": round(p if p_first > 0.5 else 1 - p, 6),
        "judge": verdict.judge,
        "order": verdict.order,
        "flipped": verdict.flipped,
        "text": verdict.text,
        **({"quotes": list(verdict.quotes)} if verdict.quotes else {}),
    }
