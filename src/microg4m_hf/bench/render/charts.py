"""Draw the charts of a report. All are narrow, so that their labels stay readable on a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .drawing import COLORS, DASHES, GRID, INK, PAPER, QUIET, Dot, Drawing, Line, Rect, Text

WIDTH = 380


class Bar(NamedTuple):
    """A value between 0 and 1 with its interval; ``note`` is printed behind it."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    published: bool = False


class Curve(NamedTuple):
    """A named line."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def bar_chart(title: str, rows: Sequence[Bar], *, notes: str = "") -> Drawing:
    """Draw horizontal bars with intervals; ``notes`` is the heading of their notes."""
    left, right, row = 150, 290, 15
    defined = [bar for bar in rows if _known(bar.value)]
    best = f"; highest: {defined[0].name}, {100 * defined[0].value:.1f}" if defined else ""
    drawing = Drawing(title, f"{len(rows)} bars from 0 to 100{best}", WIDTH, 46 + row * len(rows))
    _scale(drawing, left, right, 36, 36 + row * len(rows))
    if notes:
        drawing.add(Text(WIDTH - 4, 11, notes, 10, "end", QUIET))
    for place, bar in enumerate(rows):
        top = 38 + place * row
        drawing.add(Text(left - 5, top + 9, _short(bar.name, 25), 10, "end"))
        if _known(bar.value):
            hint = f"{bar.name}: {100 * bar.value:.2f}"
            drawing.add(Rect(left, top + 1, (right - left) * bar.value, row - 5, COLORS[0], hint))
            if bar.low is not None and bar.high is not None and _known(bar.low):
                low, high = (left + (right - left) * min(max(edge, 0), 1) for edge in (bar.low, bar.high))
                middle = top + 1 + (row - 5) / 2
                # A dark line on a light one is visible inside and outside the bar.
                drawing.add(
                    Line([(low, middle), (high, middle)], PAPER, 3), Line([(low, middle), (high, middle)], INK, 1)
                )
            drawing.add(Text(right + 4, top + 9, f"{100 * bar.value:.1f}", 10))
        if bar.note:
            drawing.add(Text(WIDTH - 4, top + 9, bar.note, 10, "end", QUIET))
    return drawing


def interval_chart(title: str, rows: Sequence[Bar]) -> Drawing:
    """Draw a dot with its interval for every run; published values are hollow and have no interval."""
    left, right, row = 150, 335, 17
    ends = [edge for bar in rows for edge in (bar.value, bar.high) if edge is not None and _known(edge)]
    top_value = _round_up(max(ends, default=1.0))
    description = "; ".join(f"{bar.name} {100 * bar.value:.2f}" for bar in rows[:12] if _known(bar.value))
    drawing = Drawing(title, description, WIDTH, 36 + row * len(rows))
    _scale(drawing, left, right, 24, 26 + row * len(rows), top_value)
    for place, bar in enumerate(rows):
        middle = 34 + place * row
        drawing.add(Text(left - 7, middle + 3.5, _short(bar.name, 25), 10, "end", QUIET if bar.published else INK))
        if not _known(bar.value):
            continue
        at = left + (right - left) * bar.value / top_value
        if bar.low is not None and bar.high is not None and _known(bar.low):
            ends = [left + (right - left) * edge / top_value for edge in (bar.low, bar.high)]
            drawing.add(Line([(ends[0], middle), (ends[1], middle)], COLORS[0], 2.5))
        fill, edge = (PAPER, QUIET) if bar.published else (COLORS[0], PAPER)
        drawing.add(Dot(at, middle, 4, fill, edge, f"{bar.name}: {100 * bar.value:.2f}"))
        drawing.add(Text(WIDTH - 4, middle + 3.5, f"{100 * bar.value:.2f}", 10, "end", QUIET if bar.published else INK))
    return drawing


def line_chart(
    title: str, curves: Sequence[Curve], *, x_label: str, y_label: str, diagonal: bool = False, dots: bool = False
) -> Drawing:
    """Draw curves in the unit square with their names below."""
    left, top, side = 44, 26, 300
    drawing = Drawing(
        title, f"{y_label} against {x_label} for {', '.join(c.name for c in curves)}", WIDTH, 375 + 15 * len(curves)
    )
    for tick in range(6):
        at = tick / 5
        x, y = left + side * at, top + side * (1 - at)
        drawing.add(Line([(x, top), (x, top + side)], GRID), Line([(left, y), (left + side, y)], GRID))
        drawing.add(Text(x, top + side + 14, f"{100 * at:.0f}", 10, "middle", QUIET))
        drawing.add(Text(left - 6, y + 3.5, f"{100 * at:.0f}", 10, "end", QUIET))
    drawing.add(Text(left + side / 2, top + side + 30, x_label, 11, "middle"), Text(left - 30, top - 10, y_label, 11))
    if diagonal:
        drawing.add(Line([(left, top + side), (left + side, top)], QUIET, 1, (3, 3)))
    for place, curve in enumerate(curves):
        color, dash = COLORS[place % len(COLORS)], DASHES[place // len(COLORS) % len(DASHES)]
        known = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if _known(x) and _known(y)]
        points = [(left + side * x, top + side * (1 - y)) for x, y in known]
        if len(points) > 1:
            drawing.add(Line(points, color, 2, dash))
        if dots or len(points) == 1:
            drawing.add(*(Dot(x, y, 3.2, color, PAPER) for x, y in points))
        below = 372 + 15 * place
        drawing.add(Line([(left, below - 3.5), (left + 26, below - 3.5)], color, 3, dash))
        drawing.add(Text(left + 33, below, _short(curve.name, 52), 10.5))
    return drawing


def heatmap(title: str, names: Sequence[str], table: Sequence[Sequence[float]]) -> Drawing:
    """Draw a square table; darker cells hold larger values. Columns are labeled with the numbers of the rows."""
    left, top, count = 158, 40, max(len(names), 1)
    cell = (WIDTH - left - 6) / count
    most = max((value for row in table for value in row), default=0) or 1
    drawing = Drawing(title, f"{len(names)} actions against each other", WIDTH, top + cell * count + 8)
    drawing.add(Text(left, 12, "predicted instead →", 10, fill=QUIET), Text(left - 6, 26, "true ↓", 10, "end", QUIET))
    for row, name in enumerate(names):
        drawing.add(Text(left - 6, top + cell * (row + 0.5) + 3.5, f"{_short(name, 23)} {row + 1}", 10, "end"))
        drawing.add(Text(left + cell * (row + 0.5), 32, str(row + 1), 10, "middle", QUIET))
        for column, value in enumerate(table[row]):
            share = value / most  # from light to dark blue
            color = "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in ((240, 11), (244, 95), (248, 165)))
            hint = f"{name} taken for {names[column]}: {value:g}" if value else ""
            drawing.add(Rect(left + cell * column, top + cell * row, cell - 1, cell - 1, color, hint))
            if value >= 0.5:
                fill = PAPER if share > 0.5 else INK
                place = (left + cell * (column + 0.5) - 0.5, top + cell * (row + 0.5) + 3)
                drawing.add(Text(*place, f"{value:.0f}" if value >= 1 else "½", 9.5, "middle", fill))
    return drawing


def scatter_chart(title: str, rows: Sequence[dict[str, Any]], *, x_label: str, y_label: str) -> Drawing:
    """Draw scores against a count on a logarithmic axis; rows have the keys name, x, y and published."""
    left, top, wide, high = 44, 26, 320, 220
    drawing = Drawing(
        title, f"{y_label} against {x_label} for {len(rows)} runs", WIDTH, top + high + 40 + 14 * len(rows)
    )
    most_x = max(row["x"] for row in rows)
    most_y = _round_up(max(row["y"] for row in rows))
    ticks = [tick for tick in (1, 2, 4, 8, 16, 32, 64, 128) if tick <= max(most_x, 2)]
    span = math.log2(max(most_x, 2)) or 1
    for tick in ticks:
        x = left + wide * math.log2(tick) / span
        drawing.add(Line([(x, top), (x, top + high)], GRID), Text(x, top + high + 14, str(tick), 10, "middle", QUIET))
    for tick in range(5):
        y = top + high * (1 - tick / 4)
        drawing.add(Line([(left, y), (left + wide, y)], GRID))
        drawing.add(Text(left - 6, y + 3.5, f"{100 * most_y * tick / 4:.4g}", 10, "end", QUIET))
    drawing.add(Text(left + wide / 2, top + high + 28, x_label, 11, "middle"), Text(left - 30, top - 10, y_label, 11))
    for place, row in enumerate(rows):
        x, y = left + wide * math.log2(max(row["x"], 1)) / span, top + high * (1 - row["y"] / most_y)
        fill, edge = (PAPER, QUIET) if row["published"] else (COLORS[0], PAPER)
        drawing.add(Dot(x, y, 7, fill, edge, f"{row['name']}: {100 * row['y']:.2f}"))
        drawing.add(Text(x, y + 3.2, str(place + 1), 9.5, "middle", INK if row["published"] else PAPER))
        label = f"{place + 1}  {row['name']}, {row['x']} frames: {100 * row['y']:.2f}"
        drawing.add(
            Text(left, top + high + 48 + 14 * place, _short(label, 60), 10, fill=QUIET if row["published"] else INK)
        )
    return drawing


def _scale(drawing: Drawing, left: float, right: float, top: float, bottom: float, most: float = 1.0) -> None:
    for tick in range(5):
        x = left + (right - left) * tick / 4
        drawing.add(Line([(x, top - 4), (x, bottom)], GRID))
        drawing.add(Text(x, top - 8, f"{100 * most * tick / 4:.3g}", 10, "middle", QUIET))


def _round_up(value: float) -> float:
    """Return the next round number above.

    >>> _round_up(0.47), _round_up(0.034), _round_up(0.0)
    (0.5, 0.04, 1.0)
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        round(step * power, 12) for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value - 1e-12
    )


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _known(value: float) -> bool:
    return value == value
