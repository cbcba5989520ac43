"""What evaluation.json holds, as tables and one picture; what is absent there is absent here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cai_lite.evaluation.confounds import WARN_ABOVE
from cai_lite.reporting.charts import dumbbells
from cai_lite.reporting.html import Html, Part, table, tag

_BESIDE = {
    "over_refusal": "benign twins refused",
    "unsafe_compliance": "unsafe requests complied with",
    "well_formed": "well-formed",
    "perplexity": "perplexity on neutral text",
    "kl": "KL from the base on neutral text, nats a token",
    "words": "words per answer",
    "boilerplate": "answers given to several prompts",
    "win_rate": "win rate against the base",
    "win_rate_equal_length": "win rate at equal length",
    "preference_accuracy": "held-out preference accuracy",
    "reward_margin": "held-out reward margin, nats",
}
_GAPS = {
    "phrasing_gap": "gain on prompts as in training, less gain on held-out ones",
    "checks_gap": "gain by machine checks, less gain by the judge",
}
_HEAD = ["", "before", "after", "change", "95 % interval", "n"]


def headline(held: Mapping[str, Any]) -> Html:
    """Adherence before and after, per principle and in all."""
    metrics = held["metrics"]
    beside = f" against {held['against']}" if held["against"] else ""
    parts: list[Part] = [
        tag("h1", f"{held['constitution']}: what the student became" if held["against"] else held["constitution"]),
        tag("p", f"{held['model']}{beside}; adherence by {held['judge']}; seed {held['seed']}", class_="faint"),
    ]
    adherence = metrics.get("adherence")
    if adherence and "change" in adherence["overall"]:
        change = adherence["overall"]["change"]
        was, now = adherence["overall"]["before"]["value"], adherence["overall"]["after"]["value"]
        told = (
            f" adherence on held-out prompts, {change['value']:+.2f} [{change['low']:+.2f}, {change['high']:+.2f}], "
            f"n = {change['n']}"
        )
        parts.append(tag("p", tag("strong", f"{was:.2f} → {now:.2f}"), tag("span", told), class_="big"))
        chart = dumbbells({**adherence["principles"], "all principles": adherence["overall"]})
        caption = "Hollow: before. Full: after. Lines: 95 % intervals, by bootstrap over prompt families."
        parts.append(tag("figure", tag("div", chart, class_="scroll"), tag("figcaption", caption)))
    if adherence:
        rows = [*adherence["principles"].items(), ("all principles", adherence["overall"])]
        rows += [
            (f"all, {by}", metrics[name]["overall"])
            for name, by in (("adherence_judge", "by the judge"), ("adherence_checks", "by machine checks"))
            if name in metrics
        ]
        rows += [(name.replace("_", " "), comparison) for name, comparison in adherence.get("splits", {}).items()]
        parts.append(_comparisons("Adherence", rows))
        if adherence.get("p_holm") and held["against"]:
            sure = [name for name, p in adherence["p_holm"].items() if p < 0.05]
            parts.append(
                tag(
                    "p",
                    f"Asked about all {len(adherence['p_holm'])} principles at once (Holm), the change is beyond "
                    f"chance at 5 % for {', '.join(sure) or 'none'}.",
                    class_="faint",
                )
            )
    return tag("section", *parts, id="adherence")


def gates_table(held: Mapping[str, Any]) -> Html | None:
    """What the recipe demands, and whether it holds."""
    gates = held.get("gates", ())
    if not gates:
        return None
    rows: list[list[Part]] = [
        [
            gate["name"],
            gate["wanted"],
            "not measured" if gate["found"] is None else f"{gate['found']:.3f}",
            "holds" if gate["holds"] else tag("b", "FAILS", class_="warn"),
        ]
        for gate in gates
    ]
    caption = "evaluate.must of the recipe"
    return tag("section", tag("h2", "Gates"), table(caption, ["", "wanted", "found", ""], rows), id="gates")


def beside(held: Mapping[str, Any]) -> Html | None:
    """Form, refusals, drift, preferences: what adherence must not be seen without."""
    metrics = held["metrics"]
    rows = [(label, metrics[name]) for name, label in _BESIDE.items() if name in metrics]
    parts: list[Part] = []
    if rows:
        parts.append(_comparisons("Refusals, form, drift and preferences", rows))
    if metrics.get("robustness"):
        turned = [
            (name.replace("_", " "), {"before": r["plain"], "after": r["wrapped"], "change": r["drop"]})
            for name, r in metrics["robustness"].items()
        ]
        caption = "Robustness: adherence of the trained student to plain prompts, and to the same wrapped"
        parts.append(_comparisons(caption, turned, ["", "plain", "wrapped", "change", "95 % interval", "n"]))
    gaps = metrics.get("superficial", {})
    if gaps:
        parts.append(
            _comparisons("Superficial compliance: gaps near 0 are good", [(_GAPS[n], f) for n, f in gaps.items()])
        )
    return tag("section", tag("h2", "What it must not be seen without"), *parts, id="beside") if parts else None


def judge_tables(held: Mapping[str, Any]) -> Html | None:
    """How far the judge can be relied on."""
    told = held["metrics"].get("reliability")
    if not told:
        return None
    caption = "Asked in both orders and once more, and held against the truth where there is one"
    rows: list[list[Part]] = [
        [name.replace("_", " "), f"{f['value']:.3f}", f"[{f['low']:.3f}, {f['high']:.3f}]", f["n"]]
        for name, f in told.items()
    ]
    return tag(
        "section",
        tag("h2", "Can the judge be relied on?"),
        table(caption, ["", "value", "95 % interval", "n"], rows),
        id="judge",
    )


def confound_tables(held: Mapping[str, Any]) -> Html | None:
    """What else tells chosen from rejected."""
    metrics = held["metrics"]
    rows: list[list[Part]] = []
    loud = []
    for name, figure in metrics.get("confounds", {}).items():
        rows.append([f"{name} alone orders the pairs", *_cells(figure)])
        if figure["value"] > WARN_ABOVE:
            loud.append(name)
    for name, figure in metrics.get("copies", {}).items():
        rows.append([{"duplicates": "near copies of an earlier pair"}.get(name, "prompt is held out"), *_cells(figure)])
    if not rows:
        return None
    parts: list[Part] = [
        tag("h2", "What else the pairs teach"),
        table("Confounds: 0.5 tells nothing, 1 tells all", ["", "value", "95 % interval", "n"], rows),
    ]
    if loud:
        parts.append(
            tag(
                "p",
                f"{' and '.join(loud).capitalize()} alone tells chosen from rejected in most pairs: the student may "
                "learn just that.",
                class_="warn",
            )
        )
    return tag("section", *parts, id="confounds")


def limits(held: Mapping[str, Any]) -> Html:
    """What the figures do not say."""
    toy = "embedded:" in held["model"]
    text = (
        "Toy scale: models of about a million parameters, a teacher trained on labels of the same grammar that scores "
        "the result. It shows that the walk works, and is no claim about models of 7B."
        if toy
        else "The judge that made the pairs also judged here, unless the recipe names another: expect it to favour its "
        "own taste. The figures hold for prompts like the held-out ones."
    )
    return tag("p", text, class_="note")


def _cells(figure: Mapping[str, Any]) -> list[Part]:
    return [f"{figure['value']:.3f}", f"[{figure['low']:.3f}, {figure['high']:.3f}]", figure["n"]]


def _comparisons(caption: str, rows: Sequence[tuple[str, Mapping[str, Any]]], head: Sequence[Part] = _HEAD) -> Html:
    cells: list[list[Part]] = []
    for name, row in rows:
        if "change" in row:
            change = row["change"]
            cells.append(
                [
                    name,
                    f"{row['before']['value']:.3f}",
                    f"{row['after']['value']:.3f}",
                    f"{change['value']:+.3f}",
                    f"[{change['low']:+.3f}, {change['high']:+.3f}]",
                    change["n"],
                ]
            )
        else:
            cells.append([name, "", f"{row['value']:.3f}", "", f"[{row['low']:.3f}, {row['high']:.3f}]", row["n"]])
    return table(caption, head, cells)
