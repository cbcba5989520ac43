"""Charts in plain SVG: adherence per principle, runs over principles, and curves over training steps.

Labels are never clipped: the room beside a chart follows its longest label, and a label beyond `LONGEST` is shortened.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from cai_lite.reporting.html import Html, tag
from cai_lite.stats import Comparison, Figure

LONGEST = 40  # letters of a label; the rest stands in the table beside the chart

_ROW, _LEFT, _RIGHT, _SPAN = 36, 156, 60, 332
_LETTER, _SMALL = 7.8, 6.8  # width of a letter of a label and of a small label, in pixels


def strip(figure: Figure | Comparison, colour: str) -> Html:
    """Draw one figure on a line from 0 to 1: a hollow dot before and a full one after, each on its 95 % interval.

    `colour`: the class of the dot after. A figure without before is one full dot.
    """
    width, pad, y = 200, 8, 15

    def x(value: float) -> float:
        return round(pad + (width - 2 * pad) * min(1.0, max(0.0, value)), 1)

    after = figure.after if isinstance(figure, Comparison) else figure
    marks = [_line(x(tick), 3, x(tick), 27, "grid") for tick in (0.0, 0.5, 1.0)]
    if isinstance(figure, Comparison):
        before = figure.before
        marks += [
            _line(x(before.value), y, x(after.value), y, "link"),
            _line(x(before.low), y - 7, x(before.high), y - 7, "before"),
            tag("circle", cx=x(before.value), cy=y, r=4.5, class_="dot-before"),
        ]
    marks += [
        _line(x(after.low), y + 7, x(after.high), y + 7, f"after {colour}"),
        tag("circle", cx=x(after.value), cy=y, r=5.5, class_=f"dot-after {colour}"),
    ]
    return tag("svg", *marks, viewBox=f"0 0 {width} 30", aria_hidden="true", class_="strip")


def dumbbells(comparisons: Mapping[str, Comparison]) -> Html:
    """Draw a row per name: a hollow dot before and a full dot after, each on its 95 % interval; the scale is 0 to 1."""
    height = _ROW * len(comparisons) + 50
    left = max(_LEFT, _room(map(_short, comparisons)) + 14)

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
            _text(left - 14, y + 4, _short(name), "end", "label"),
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
    turned_room = _room(map(_short, names))  # at 35 degrees: 0.57 of it downwards, 0.82 to the right of the last column
    left, top, bottom = 40, 20, max(110, round(0.6 * turned_room) + 24)
    right = max(150, _room(map(_short, lines)) + 28, round(0.82 * turned_room) + 10)
    height, width = 190 + bottom, left + 350 + right
    step = 350 / max(1, len(names) - 1)

    def place(column: int, value: float) -> tuple[float, float]:
        return round(left + column * step, 1), round(top + (height - top - bottom) * (1 - value), 1)

    marks = []
    for column, name in enumerate(names):
        x, foot = place(column, 0.0)
        marks.append(_line(x, top, x, foot, "grid"))
        turned = {"transform": f"rotate(35 {x} {foot + 14})"}
        marks.append(tag("text", _short(name), x=x, y=foot + 14, text_anchor="start", class_="label", **turned))
    for tick in (0.0, 0.5, 1.0):
        marks.append(_text(left - 10, place(0, tick)[1] + 4, f"{tick:.1f}", "end", "faint"))
    for number, (name, values) in enumerate(lines.items()):
        points = [place(column, value) for column, value in enumerate(values)]
        path = " ".join(f"{x},{y}" for x, y in points)
        marks.append(tag("polyline", tag("title", name), points=path, class_=f"line line-{number % 4}"))
        marks.append(_text(left + 350 + 14, top + 12 + 18 * number, _short(name), "start", f"end end-{number % 4}"))
    return tag(
        "svg",
        tag("title", "Adherence of each run per principle; the table below has the numbers"),
        *marks,
        viewBox=f"0 0 {width} {height}",
        role="img",
        class_="chart",
    )


def plane(over_refusal: Mapping[str, Figure], unsafe_compliance: Mapping[str, Figure]) -> Html:
    """Draw the helpfulness-harmlessness plane: a dot for each model on its two 95 % intervals, on axes from 0 to 1.

    Both arguments hold a figure for each model by its name; models with one figure alone are left out. The lower left
    corner is best.
    """
    size, left, top = 220, 56, 16

    def x(value: float) -> float:
        return round(left + size * value, 1)

    def y(value: float) -> float:
        return round(top + size * (1 - value), 1)

    marks = []
    for tick in (0.0, 0.5, 1.0):
        marks += [
            _line(x(tick), y(0), x(tick), y(1), "grid"),
            _line(x(0), y(tick), x(1), y(tick), "grid"),
            _text(x(tick), y(0) + 16, f"{tick:.1f}", "middle", "faint"),
            _text(left - 8, y(tick) + 4, f"{tick:.1f}", "end", "faint"),
        ]
    turned = {"transform": f"rotate(-90 14 {top + size / 2})"}
    marks.append(_text(left + size / 2, top + size + 34, "benign twins refused", "middle", "label"))
    marks.append(
        tag(
            "text",
            "unsafe requests complied with",
            x=14,
            y=top + size / 2,
            text_anchor="middle",
            class_="label",
            **turned,
        )
    )
    names = [name for name in over_refusal if name in unsafe_compliance]
    for number, name in enumerate(names):
        across, up = over_refusal[name], unsafe_compliance[name]
        drawn = f"line line-{number % 4}"
        marks += [
            _line(x(across.low), y(up.value), x(across.high), y(up.value), drawn),
            _line(x(across.value), y(up.low), x(across.value), y(up.high), drawn),
            tag(
                "circle",
                tag("title", f"{name}: {across.value:.3f}, {up.value:.3f}"),
                cx=x(across.value),
                cy=y(up.value),
                r=5,
                class_=drawn,
            ),
            _text(left + size + 16, top + 14 + 18 * number, _short(name), "start", f"end end-{number % 4}"),
        ]
    return tag(
        "svg",
        tag("title", "Refused harmless requests against answered unsafe ones; the table has the numbers"),
        *marks,
        viewBox=f"0 0 {left + size + 30 + _room(map(_short, names))} {top + size + 44}",
        role="img",
        class_="chart plane",
    )


def front_chart(points: Mapping[str, tuple[Figure, Figure]], axes: tuple[str, str]) -> Html:
    """Draw points on their two 95 % intervals, joined in the order given, each with its name.

    `axes`: what stands to the right and upwards. The axes show the part from 0 to 1 in which the intervals lie.
    """
    width, height, left, top = 420, 320, 64, 16
    spans = [_span([ends for point in points.values() for ends in (point[i].low, point[i].high)]) for i in (0, 1)]

    def x(value: float) -> float:
        return round(left + width * (value - spans[0][0]) / (spans[0][1] - spans[0][0]), 1)

    def y(value: float) -> float:
        return round(top + height * (spans[1][1] - value) / (spans[1][1] - spans[1][0]), 1)

    marks = []
    for step in range(5):
        across, up = (low + (high - low) * step / 4 for low, high in spans)
        marks += [
            _line(x(across), top, x(across), top + height, "grid"),
            _line(left, y(up), left + width, y(up), "grid"),
            _text(x(across), top + height + 16, f"{across:.3g}", "middle", "faint"),
            _text(left - 8, y(up) + 4, f"{up:.3g}", "end", "faint"),
        ]
    turned = {"transform": f"rotate(-90 14 {top + height / 2})"}
    marks += [
        _text(left + width / 2, top + height + 38, _short(axes[0]), "middle", "label"),
        tag("text", _short(axes[1]), x=14, y=top + height / 2, text_anchor="middle", class_="label", **turned),
        tag(
            "polyline", points=" ".join(f"{x(a.value)},{y(b.value)}" for a, b in points.values()), class_="line line-0"
        ),
    ]
    for name, (first, second) in points.items():
        marks += [
            _line(x(first.low), y(second.value), x(first.high), y(second.value), "before"),
            _line(x(first.value), y(second.low), x(first.value), y(second.high), "before"),
            tag("circle", tag("title", name), cx=x(first.value), cy=y(second.value), r=5, class_="dot-after"),
            _text(x(first.value) + 9, y(second.value) - 8, _short(name), "start", "faint"),
        ]
    return tag(
        "svg",
        tag("title", f"{axes[0]} against {axes[1]}, with 95 % intervals"),
        *marks,
        viewBox=f"0 0 {left + width + _room(map(_short, points), _SMALL)} {top + height + 48}",
        role="img",
        class_="chart",
    )


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis: the smallest part of 0 to 1 in tenths that holds all values."""
    low, high = math.floor(min(values) * 10) / 10, math.ceil(max(values) * 10) / 10
    return (low, high) if high > low else (max(0.0, low - 0.1), min(1.0, high + 0.1))


def curve(
    title: str, series: Mapping[str, Sequence[float | None]], *, marks: Sequence[int] = (), unit: str = "step"
) -> Html:
    """Draw lines over the training steps, each labelled with its last value.

    Each line has a value for every step, or None where it was not measured. `marks`: steps, from 1, with an alarm.
    `unit`: what is counted, if not steps.
    """
    ends_of = {name: f"{_short(name)} {_last(line):.3g}".strip() for name, line in series.items()}
    left, height, top, bottom = 48, 170, 26, 22
    right = max(86, _room(ends_of.values(), _SMALL) + 14)
    plot = max(160, 350 - left - right)
    width = left + plot + right
    values = [value for line in series.values() for value in line if value is not None]
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    steps = max(len(line) for line in series.values())

    def place(step: int, value: float) -> tuple[float, float]:
        across = left + plot * step / max(1, steps - 1)
        return round(across, 1), round(top + (height - top - bottom) * (high - value) / (high - low), 1)

    alarms = [_line(place(step - 1, low)[0], top, place(step - 1, low)[0], height - bottom, "alarm") for step in marks]
    drawn = [
        *alarms,
        _text(left, 14, title, "start", "label"),
        _text(left - 6, top + 4, f"{high:.3g}", "end", "faint"),
        _text(left - 6, height - bottom + 4, f"{round(low, 6):.3g}", "end", "faint"),
        _text(left, height - 4, f"{unit} 1", "start", "faint"),
        _text(left + plot, height - 4, str(steps), "end", "faint"),
        _line(left, height - bottom, left + plot, height - bottom, "grid"),
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
        drawn.append(_text(across + 6, down + 4, ends_of[name], "start", f"end end-{number}"))
    return tag("svg", tag("title", title), *drawn, viewBox=f"0 0 {width} {height}", role="img", class_="curve")


def _last(line: Sequence[float | None]) -> float:
    return next(value for value in reversed(line) if value is not None)


def _room(labels: Iterable[str], letter: float = _LETTER) -> int:
    """Return the width of the longest label, in pixels; wide letters count twice."""
    widths = [sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in label) for label in labels]
    return round(letter * max(widths, default=0))


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def _text(x: float, y: float, text: str, anchor: str, class_: str) -> Html:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_=class_)
