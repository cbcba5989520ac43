"""The section of report.html that shows pairs, each with its two sides, verdicts and origin."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cai_lite.records import PreferencePair
from cai_lite.reporting.filters import Choice, filters, least, search
from cai_lite.reporting.html import Html, Part, join, table, tag
from cai_lite.run.ledger import Run

SHOWN = 200
BYTES_LIMIT = 1_000_000  # for all pairs shown, so that the page stays small whatever their length
COMPARED_LIMIT = 400  # words of a side up to which the differing words are marked: the time grows with the square


def explorer(pairs: Sequence[PreferencePair], run: Run) -> Html:
    """Show up to `SHOWN` pairs, evenly spread over principles and margins, after counts of all pairs."""
    critiques: dict[str, list[Mapping[str, Any]]] = {}
    for _, parents, payload in run.rows("critique"):
        critiques.setdefault(parents[0], []).append(payload)
    shown, size = [], 0
    for pair in _spread(pairs):
        made = _pair(pair, critiques)
        size += len(made.encode())
        if size > BYTES_LIMIT:
            break
        shown.append(made)
    counted = Counter((pair.principle or "none named", pair.rule) for pair in pairs)
    rows: list[list[Part]] = [[principle, rule, n] for (principle, rule), n in counted.most_common()]
    return tag(
        "section",
        tag("h2", "Pairs"),
        tag(
            "p",
            f"{len(shown):,} of {len(pairs):,} pairs shown, from narrow to wide margins; all are in pairs.jsonl.",
            class_="faint",
        ),
        table("Pairs by principle (the one with the strongest verdict) and rule", ["principle", "rule", "pairs"], rows),
        _filters(pairs),
        *shown,
        id="pairs",
    )


def _filters(pairs: Sequence[PreferencePair]) -> Html:
    def choice(name: str, values: set[str]) -> Choice:
        return Choice(name, name, [(value, value) for value in sorted(values) if value])

    return filters(
        "pair",
        search(),
        choice("principle", {pair.principle for pair in pairs}),
        choice("rule", {pair.rule for pair in pairs}),
        least("margin", "least margin"),
    )


def _spread(pairs: Sequence[PreferencePair]) -> Iterator[PreferencePair]:
    """Yield pairs evenly: principle by principle in turn, each from narrow to wide margins."""
    of: dict[str, list[PreferencePair]] = {}
    for pair in sorted(pairs, key=lambda pair: (pair.margin, pair.key)):
        of.setdefault(pair.principle, []).append(pair)
    share = max(1, SHOWN // max(1, len(of)))
    picked = [rows[:: max(1, len(rows) // share)][:share] for rows in of.values()]
    for place in range(max(map(len, picked), default=0)):
        yield from (rows[place] for rows in picked if place < len(rows))


def _pair(pair: PreferencePair, critiques: Mapping[str, Sequence[Mapping[str, Any]]]) -> Html:
    chosen, rejected = ("\n".join(m.content for m in side) for side in (pair.chosen, pair.rejected))
    verdicts: list[list[Part]] = [
        [
            v.get("principle", ""),
            _rounded(v.get("p_chosen")),
            v.get("judge", ""),
            f"{v.get('order', '')}{', flipped' if v.get('flipped') else ''}",
            v.get("text", ""),
        ]
        for v in sorted(pair.evidence.get("verdicts", []), key=lambda v: -abs(v.get("p_chosen", 0.5) - 0.5))
    ]
    said: list[list[Part]] = [
        [side, payload["principle"], payload["violated"], payload["text"]]
        for side, parent in zip(("chosen", "rejected"), pair.parents, strict=False)
        for payload in critiques.get(parent, ())
    ]
    label = "hard label" if pair.p_chosen == 1 else f"label {pair.p_chosen:.2f}"
    wrote = [
        f"{side} by {pair.evidence[key]}"
        for side, key in (("chosen", "chosen_by"), ("rejected", "rejected_by"))
        if key in pair.evidence
    ]
    return tag(
        "details",
        tag(
            "summary",
            tag("span", pair.prompt[-1].content[:90]),
            tag("span", f"{pair.principle or pair.rule} · margin {pair.margin:.2f}", class_="faint"),
        ),
        *(tag("p", tag("b", message.role or "prompt"), " ", message.content) for message in pair.prompt),
        tag(
            "div",
            tag("div", tag("h3", "chosen"), tag("p", _difference(rejected, chosen))),
            tag("div", tag("h3", "rejected"), tag("p", _difference(chosen, rejected))),
            class_="sides",
        ),
        table("Verdicts", ["principle", "p chosen", "judge", "order", "text"], verdicts) if verdicts else None,
        table("Critiques", ["of", "principle", "violated", "text"], said) if said else None,
        tag("p", f"{', '.join([f'rule {pair.rule}', f'margin {pair.margin:.2f}', label, *wrote])}", class_="faint"),
        tag("p", f"cai-lite audit RUN {pair.key}", class_="faint") if pair.key else None,
        class_="pair",
        data_principle=pair.principle,
        data_rule=pair.rule,
        data_margin=f"{pair.margin:.4f}",
    )


def _rounded(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else ""


def _difference(other: str, text: str) -> Html:
    """Return the text with the words marked that the other side lacks."""
    ours, theirs = text.split(), other.split()
    if max(len(ours), len(theirs)) > COMPARED_LIMIT:
        return join([text])
    parts: list[Part] = []
    for what, _, _, start, end in difflib.SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes():
        words = " ".join(ours[start:end])
        if words:
            parts += [words if what == "equal" else tag("mark", words), " "]
    return join(parts)
