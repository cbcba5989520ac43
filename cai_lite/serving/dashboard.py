"""Show what a monitor has seen: a page, a table in the terminal, metrics for Prometheus."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from cai_lite.reporting.charts import curve
from cai_lite.reporting.html import Html, Part, join, table, tag
from cai_lite.reporting.style import STYLE
from cai_lite.run.progress import Terminal
from cai_lite.serving.rates import Monitored, Rate, Theme
from cai_lite.stats import Figure

PAGE = "monitor.html"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_WORSE, _HIGH = "alarm", "above its limit"


def page(found: Monitored) -> str:
    """Return the page, as HTML without scripts."""
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", f"{found.constitution}, in production"),
            tag("style", Html(STYLE)),
        ]
    )
    charts = [
        _chart(rate, found.width) for rate in _ordered(found) if any(point.rate is not None for point in rate.series)
    ]
    body = join(
        [
            tag("h1", f"{found.constitution}, in production"),
            _verdict(found),
            tag("p", found.stated, class_="note"),
            tag("section", tag("h2", "Principles"), _rates(found), _tags(found)),
            tag(
                "section",
                tag("h2", "Over time"),
                tag(
                    "p",
                    "Share of answers that break the principle; a point stands for "
                    f"{found.width:,} conversations. The limits lie three standard errors from the "
                    "baseline; one point in several hundred leaves them by chance. The alarm is the "
                    "detector's alone, and a vertical line marks it.",
                    class_="faint",
                ),
                tag("div", *charts, class_="curves"),
            )
            if charts
            else None,
            _themes(found.themes),
            _rest(found),
        ]
    )
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", tag("main", body)), lang="en") + "\n"


def _ordered(found: Monitored) -> list[Rate]:
    """Return the rates that were measured: alarms first, then the highest above its baseline."""

    def above(rate: Rate) -> float:
        return rate.now.value - rate.baseline.value if rate.now and rate.baseline else -1.0

    return sorted((rate for rate in found.rates if rate.n), key=lambda rate: (rate.alarm is None, -above(rate)))


def _verdict(found: Monitored) -> Html:
    alarms = found.alarms
    counted = f"{found.conversations:,} conversations"
    if not alarms:
        return tag("div", tag("p", f"No alarm. {counted}."), class_="verdict verdict-good")
    lines = [tag("li", tag("b", rate.principle), tag("span", _since(rate)), class_="speaks-against") for rate in alarms]
    return tag("div", tag("p", f"Alarm. {counted}."), tag("ul", *lines), class_="verdict verdict-bad")


def _since(rate: Rate) -> str:
    was = _share(rate.baseline.value) if rate.baseline else "?"
    now = _share(rate.since.value) if rate.since else "?"
    return (
        f"by {rate.by}: {was} of the answers broke it, {now} since about conversation {(rate.began or 0) + 1:,}; "
        f"noticed at {rate.alarm:,}"
    )


def _rates(found: Monitored) -> Html:
    rows: list[list[Part]] = [
        [
            rate.principle,
            rate.by,
            f"{rate.broken:,} of {rate.n:,}",
            f"{rate.unknown:,}",
            _figure(rate.baseline),
            _figure(rate.now),
            tag("span", _state(rate) or "as before", class_="bad" if _state(rate) == _WORSE else None),
        ]
        for rate in _ordered(found)
    ]
    head = ["principle", "by", "broken", "undecided", "baseline", "now", "state"]
    return table("Share of answers that break the principle, with 95 % intervals", head, rows)


def _state(rate: Rate) -> str:
    if rate.alarm is not None:
        return _WORSE
    last = next((point for point in reversed(rate.series) if point.rate is not None), None)
    high = last is not None and last.rate is not None and last.high is not None and last.rate > last.high
    return _HIGH if high else ""


def _figure(figure: Figure | None) -> Html | None:
    if figure is None:
        return None
    ends = tag("span", f"{100 * figure.low:.1f} to {100 * figure.high:.1f}", class_="span")
    return join([_share(figure.value), Html("<br>"), ends])


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _tags(found: Monitored) -> Html | None:
    rows: list[list[Part]] = [
        [f"{rate.principle}, {name}", rate.by, f"{n:,}", f"{broken:,}", _share(broken / n)]
        for rate in _ordered(found)
        for name, n, broken in rate.worst_tags()
    ]
    return (
        table("Tags under which it is broken most often", ["tag", "by", "answers", "broken", "share"], rows)
        if rows
        else None
    )


def _chart(rate: Rate, width: int) -> Html:
    lines = {
        "rate": [point.rate for point in rate.series],
        "upper limit": [point.high for point in rate.series],
        "lower limit": [point.low for point in rate.series],
    }
    series = {
        name: [None if value is None else round(value, 3) for value in line]
        for name, line in lines.items()
        if any(value is not None for value in line)
    }
    marks = [(rate.alarm - 1) // width + 1] if rate.alarm is not None else []
    return curve(f"{rate.principle} ({rate.by})", series, marks=marks, unit="point")


def _themes(themes: tuple[Theme, ...]) -> Html | None:
    if not themes:
        return None
    rows: list[list[Part]] = [[theme.example, f"{theme.n:,}", ", ".join(theme.principles)] for theme in themes]
    head = ["one of its prompts, redacted", "prompts", "broken"]
    return tag("section", tag("h2", "Themes"), table("Failing prompts that are alike", head, rows))


def _rest(found: Monitored) -> Html:
    rows: list[list[Part]] = [[reason, f"{n:,}"] for reason, n in sorted(found.set_aside.items())]
    if found.other:
        rows.append(["spans without a conversation", f"{found.other:,}"])
    aside = table("Of the log", ["not read", "number"], rows) if rows else None
    return tag("section", tag("h2", "Notes"), *(tag("p", note) for note in found.notes), aside)


def show(found: Monitored, console: Terminal | None = None) -> None:
    """Print the table, the alarms and the notes."""
    console = console or Terminal()
    title = Text("share of answers that break the principle")
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title)
    shown.add_column("principle", overflow="fold", min_width=16)
    for name in ("by", "answers", "baseline", "now", ""):
        shown.add_column(name, justify="left" if name in ("by", "") else "right", no_wrap=True)
    for rate in _ordered(found):
        figures = [_share(figure.value) if figure else "" for figure in (rate.baseline, rate.now)]
        state = Text(_state(rate), style="red" if _state(rate) == _WORSE else "")
        shown.add_row(rate.principle, rate.by, f"{rate.n:,}", *figures, state)
    if shown.row_count:
        console.print(shown)
    for rate in found.alarms:
        console.print(Text.assemble(("alarm ", "red"), f"{rate.principle}, {_since(rate)}"))
    aside = sum(found.set_aside.values())
    counted = f"{found.conversations:,} conversations" + (f", {aside:,} lines set aside" if aside else "")
    console.print(Text(f"{counted}. {found.stated}"))
    for note in found.notes:
        console.print(Text(note))
    if found.out is not None:
        console.print(Text(f"page: {found.out / PAGE}"))


def metrics_text(found: Monitored) -> str:
    """Return the metrics in the text form of Prometheus (version 0.0.4)."""
    lines: list[str] = []

    def metric(name: str, kind: str, says: str, values: list[tuple[dict[str, str], float]]) -> None:
        lines.extend((f"# HELP cai_lite_{name} {says}", f"# TYPE cai_lite_{name} {kind}"))
        for labels, value in values:
            written = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            lines.append(f"cai_lite_{name}{{{written}}} {value:.10g}" if written else f"cai_lite_{name} {value:.10g}")

    about = [(rate, {"principle": rate.principle, "by": rate.by}) for rate in found.rates]
    metric("conversations_total", "counter", "Conversations that were looked at.", [({}, found.conversations)])
    metric(
        "set_aside_total",
        "counter",
        "Lines that cannot be used.",
        [({"reason": reason}, n) for reason, n in sorted(found.set_aside.items())],
    )
    metric(
        "decisions_total",
        "counter",
        "Answers by principle, decider and verdict.",
        [
            ({**own, "verdict": verdict}, n)
            for rate, own in about
            for verdict, n in (("kept", rate.n - rate.broken), ("broken", rate.broken), ("unknown", rate.unknown))
        ],
    )
    said = "Share of answers that broke the principle"
    before = [(own, rate.baseline.value) for rate, own in about if rate.baseline]
    metric("baseline_rate", "gauge", f"{said} in the baseline.", before)
    metric("rate", "gauge", f"{said} of late.", [(own, rate.now.value) for rate, own in about if rate.now])
    metric("alarm", "gauge", "1 where a rise was noticed.", [(own, rate.alarm is not None) for rate, own in about])
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
