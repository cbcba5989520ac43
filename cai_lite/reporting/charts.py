"""Charts in plain SVG: adherence per principle, runs over principles, and curves over training steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cai_lite.reporting.html import Html, tag
from cai_lite.stats import Comparison

_ROW, _LEFT, _RIGHT, _SPAN = 36, 156, 52, 332
_LETTER = 7.2  # width of a letter of a label, in pixels


def dumbbells(comparisons: Mapping[str, Comparison]) -> Html:
    """Draw a row per name: a hollow dot before and a full dot after, each on its 95 % interval; the scale is 0 to 1."""
    height = _ROW * len(comparisons) + 50
    left = max(_LEFT, _room(comparisons) + 14)

    def x(value: float) -> float:
        return round(left + _SPAN * value, 1)

    marks = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        marks.append(_line(x(tick), 14, x(tick), height - 30, "grid"))
        marks.append(_text(x(tick), height - 10, f"{tick:.2f}", "middle", "faint"))
    for row, (name, comparison) in enumerate(comparisons.items()):
        y = 34 + row * _ROW
        before, after = comparison.before, comparison.after
        marks += [
            _text(left - 14, y + 4, name, "end", "label"),
            _line(x(before.value), y, x(after.value), y, "link"),
            _line(x(before.low), y - 7, x(before.high), y - 7, "before"),
            _line(x(after.low), y + 7, x(after.high), y + 7, "after"),
            tag("circle", cx=x(before.value), cy=y, r=5, class_="dot-before"),
            tag("circle", cx=x(after.value), cy=y, r=6, class_="dot-after"),
            _text(left + _SPAN + 12, y + 4, f"{comparison.change.value:+.2f}", "start", "label"),
        ]
    return tag(
        "svg",
        tag("title", "Adherence before and after, with 95 % intervals; the table below has the numbers"),
        *marks,
        viewBox=f"0 0 {left + _SPAN + _RIGHT} {height}",
        role="img",
        class_="chart",
    )


def parallel(names: Sequence[str], lines: Mapping[str, Sequence[float]]) -> Html:
    """Draw a line for each run over the principles, 0 to 1. Lines cross where one principle was traded for another."""
    left, right, top, bottom = 40, max(150, _room(lines) + 14), 20, max(110, round(0.6 * _room(names)) + 20)
    height, width = 190 + bottom, left + 350 + right
    step = 350 / max(1, len(names) - 1)

    def place(column: int, value: float) -> tuple[float, float]:
        return round(left + column * step, 1), round(top + (height - top - bottom) * (1 - value), 1)

    marks = []
    for column, name in enumerate(names):
        x, foot = place(column, 0.0)
        marks.append(_line(x, top, x, foot, "grid"))
        turned = {"transform": f"rotate(35 {x} {foot + 14})"}
        marks.append(tag("text", name, x=x, y=foot + 14, text_anchor="start", class_="label", **turned))
    for tick in (0.0, 0.5, 1.0):
        marks.append(_text(left - 10, place(0, tick)[1] + 4, f"{tick:.1f}", "end", "faint"))
    for number, (name, values) in enumerate(lines.items()):
        points = [place(column, value) for column, value in enumerate(values)]
        path = " ".join(f"{x},{y}" for x, y in points)
        marks.append(tag("polyline", tag("title", name), points=path, class_=f"line line-{number % 4}"))
        marks.append(_text(left + 350 + 14, top + 12 + 18 * number, name, "start", f"end end-{number % 4}"))
    return tag(
        "svg",
        tag("title", "Adherence of each run per principle; the table below has the numbers"),
        *marks,
        viewBox=f"0 0 {width} {height}",
        role="img",
        class_="chart",
    )


def curve(
    title: str, series: Mapping[str, Sequence[float | None]], *, marks: Sequence[int] = (), unit: str = "step"
) -> Html:
    """Draw lines over the training steps, each labelled with its last value.

    Each line has a value for every step, or None where it was not measured. `marks`: steps, from 1, with an alarm.
    `unit`: what is counted, if not steps.
    """
    width, height, left, right, top, bottom = 350, 170, 48, 86, 26, 22
    values = [value for line in series.values() for value in line if value is not None]
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    steps = max(len(line) for line in series.values())

    def place(step: int, value: float) -> tuple[float, float]:
        across = left + (width - left - right) * step / max(1, steps - 1)
        return round(across, 1), round(top + (height - top - bottom) * (high - value) / (high - low), 1)

    alarms = [_line(place(step - 1, low)[0], top, place(step - 1, low)[0], height - bottom, "alarm") for step in marks]
    drawn = [
        *alarms,
        _text(left, 14, title, "start", "label"),
        _text(left - 6, top + 4, f"{high:.3g}", "end", "faint"),
        _text(left - 6, height - bottom + 4, f"{round(low, 6):.3g}", "end", "faint"),
        _text(left, height - 4, f"{unit} 1", "start", "faint"),
        _text(width - right, height - 4, str(steps), "end", "faint"),
        _line(left, height - bottom, width - right, height - bottom, "grid"),
    ]
    ends: list[float] = []
    for number, (name, line) in enumerate(series.items()):
        measured = [(step, value) for step, value in enumerate(line) if value is not None]
        thin = max(1, len(measured) // 300)
        chosen = sorted({*range(0, len(measured), thin), len(measured) - 1})
        points = [place(*measured[number]) for number in chosen]
        path = " ".join(f"{a},{b}" for a, b in points)
        drawn.append(tag("polyline", points=path, class_=f"line line-{number}"))
        across, down = points[-1]
        while any(abs(down - other) < 12 for other in ends):
            down += 12
        ends.append(down)
        drawn.append(_text(across + 6, down + 4, f"{name} {measured[-1][1]:.3g}".strip(), "start", f"end end-{number}"))
    return tag("svg", tag("title", title), *drawn, viewBox=f"0 0 {width} {height}", role="img", class_="curve")


def _room(labels: Iterable[str]) -> int:
    """Return the width of the longest label, in pixels."""
    return round(_LETTER * max(map(len, labels), default=0))


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def _text(x: float, y: float, text: str, anchor: str, class_: str) -> Html:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_=class_)
