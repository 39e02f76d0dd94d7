"""Draw the charts of a report as light SVG: readable without a script, linked and explained on hover with one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ...visible import escape_html as escape
from .charts import (
    COLORS,
    DASHES,
    MARKERS,
    ActionChart,
    ActionRow,
    Chart,
    ConfusionChart,
    CurveChart,
    DifferenceChart,
    FramesChart,
    FrequencyChart,
    ScoreChart,
    Series,
    heat,
    known,
    powers,
    round_up,
    short_actions,
    shorten,
)

WIDTH = 380  # narrow, so that labels stay readable on a phone
_LANES = 6  # up to this many runs, the action chart gives each a lane of its own with its interval

# The colors of a file on its own; in the page, report.css has the same classes for light and dark.
_STYLE = (
    "text{fill:#1b1f24}.q{fill:#57606a}.g{stroke:#d5dbe1}.a{stroke:#57606a}.s{stroke:currentColor;stroke-width:2}"
    ".iv{stroke-width:1.6}.rest{display:none}.m{stroke:#fff;stroke-width:.6}.few{opacity:.45}"
    ".hollow{fill:#fff;stroke:#57606a;stroke-width:1.4}"
    + "".join(f".c{place}{{color:{color}}}" for place, color in enumerate(COLORS))
)


class _Drawing:
    """Shapes, one after the other; later ones are on top."""

    def __init__(self, height: float, width: float = WIDTH) -> None:
        self.width, self.height, self.parts = width, height, list[str]()

    def text(self, x: float, y: float, text: str, *, anchor: str = "", quiet: bool = False, more: str = "") -> None:
        """Write one line; ``y`` is its baseline."""
        kind = ' class="q"' if quiet else ""
        side = f' text-anchor="{anchor}"' if anchor else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{kind}{side}{more}>{escape(text)}</text>')

    def line(self, points: Sequence[tuple[float, float]], kind: str, more: str = "") -> None:
        """Draw a polyline."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{places}" fill="none" class="{kind}"{more}/>')

    def grid(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Draw a line of the grid."""
        self.parts.append(f'<path class="g" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')

    def mark(self, shape: str, x: float, y: float, size: float, kind: str, hint: str, more: str = "") -> None:
        """Draw a marker with a hint."""
        fill = "" if "hollow" in kind else ' fill="currentColor"'
        title = f"<title>{escape(hint)}</title>" if hint else ""
        self.parts.append(f'<path class="m {kind}"{fill} d="{_marker(shape, x, y, size)}"{more}>{title}</path>')

    def svg(self, chart: Chart, name: str, alone: bool) -> str:
        """Return the drawing; ``alone`` for a file of its own, with its style."""
        size = f"0 0 {self.width:g} {self.height:g}"
        style = f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>' if alone else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img" aria-labelledby="{name}t {name}d" '
            f'font-family="system-ui, sans-serif" font-size="10"><title id="{name}t">{escape(chart.title)}</title>'
            f'<desc id="{name}d">{escape(chart.description)}</desc>{style}{"".join(self.parts)}</svg>'
        )


def draw_svg(chart: Chart, name: str = "", *, alone: bool = True) -> str:
    """Draw a chart.

    Args:
        chart: What to draw.
        name: Makes the ids of the drawing unique on a page.
        alone: Whether the drawing is a file of its own, with its colors in it.

    Example:
        >>> draw_svg(ScoreChart("AP", []), "a")[:47]
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox'
    """
    return _PAINTERS[type(chart)](chart).svg(chart, name, alone)


def _marker(shape: str, x: float, y: float, r: float) -> str:
    if shape == "circle":
        return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
    if shape == "square":
        r *= 0.88
        return f"M{x - r:.1f} {y - r:.1f}h{2 * r:.1f}v{2 * r:.1f}h{-2 * r:.1f}z"
    if shape == "cross":
        w = r * 0.42
        return (
            f"M{x - w:.1f} {y - r:.1f}h{2 * w:.1f}v{r - w:.1f}h{r - w:.1f}v{2 * w:.1f}h{w - r:.1f}v{r - w:.1f}"
            f"h{-2 * w:.1f}v{w - r:.1f}h{w - r:.1f}v{-2 * w:.1f}h{r - w:.1f}z"
        )
    r *= 1.2
    if shape == "diamond":
        return f"M{x:.1f} {y - r:.1f}l{r:.1f} {r:.1f}l{-r:.1f} {r:.1f}l{-r:.1f} {-r:.1f}z"
    up = -1 if shape == "triangle" else 1
    return f"M{x:.1f} {y + up * r:.1f}l{r:.1f} {-up * 1.75 * r:.1f}h{-2 * r:.1f}z"


def _style(series: Series | None) -> tuple[str, str, str]:
    """Return color class, marker and link of a run."""
    if series is None:
        return "hollow", "circle", ""
    link = f' data-run="{escape(series.key)}"' if series.key else ""
    return f"c{series.place % len(COLORS)}", MARKERS[series.place % len(MARKERS)], link


def _label_width(names: Sequence[str], most: float = 190) -> float:
    """Estimate the width of the longest name at ten units, generously."""
    return min(most, max((sum(4.2 if c in "ijlt.,:;|'()[] I1" else 6.3 for c in name) for name in names), default=0))


def _scale(drawing: _Drawing, left: float, right: float, top: float, bottom: float, most: float = 1.0) -> None:
    for tick in range(5):
        x = left + (right - left) * tick / 4
        drawing.grid(x, top - 4, x, bottom)
        drawing.text(x, top - 8, f"{100 * most * tick / 4:.3g}", anchor="middle", quiet=True)


def _span(low: float | None, high: float | None) -> str:
    return f" ({100 * low:.1f} to {100 * high:.1f})" if low is not None and high is not None and known(low) else ""


def _legend(drawing: _Drawing, runs: Sequence[Series], top: float, *, dashes: bool = False) -> None:
    for place, run in enumerate(runs):
        color, marker, link = _style(run)
        y = top + 15 * place
        if dashes:
            drawing.line([(8, y - 3.5), (34, y - 3.5)], f"s {color}", _dash(run) + link)
        drawing.mark(marker, 21, y - 3.5, 4, color, "", link)
        drawing.text(41, y, shorten([run.name], 56)[0], more=link)


def _dash(run: Series) -> str:
    dash = DASHES[run.place // 2 % len(DASHES)]
    return f' stroke-dasharray="{" ".join(map(str, dash))}"' if dash else ""


def _score_chart(chart: ScoreChart) -> _Drawing:
    names = shorten([bar.name for bar in chart.rows], 30)
    left, right, row = _label_width(names) + 10, 335, 17
    ends = [edge for bar in chart.rows for edge in (bar.value, bar.high) if edge is not None and known(edge)]
    most = round_up(max(ends, default=1.0))
    drawing = _Drawing(36 + row * len(chart.rows))
    _scale(drawing, left, right, 24, 26 + row * len(chart.rows), most)
    for place, (bar, name) in enumerate(zip(chart.rows, names, strict=True)):
        middle = 34 + place * row
        color, marker, link = _style(bar.series)
        drawing.text(left - 7, middle + 3.5, name, anchor="end", quiet=bar.published, more=link)
        if not known(bar.value):
            continue
        if bar.low is not None and bar.high is not None and known(bar.low):
            ends = [left + (right - left) * min(max(edge, 0), most) / most for edge in (bar.low, bar.high)]
            drawing.line([(ends[0], middle), (ends[1], middle)], f"s iv {color}", link)
        hint = f"{bar.name}: {100 * bar.value:.2f}{_span(bar.low, bar.high)}"
        drawing.mark(marker, left + (right - left) * bar.value / most, middle, 4, color, hint, link)
        drawing.text(WIDTH - 4, middle + 3.5, f"{100 * bar.value:.2f}", anchor="end", quiet=bar.published, more=link)
    return drawing


def _curve_chart(chart: CurveChart) -> _Drawing:
    left, top, side = 44, 26, 300
    drawing = _Drawing(375 + 15 * len(chart.curves))
    for tick in range(6):
        at = tick / 5
        x, y = left + side * at, top + side * (1 - at)
        drawing.grid(x, top, x, top + side)
        drawing.grid(left, y, left + side, y)
        drawing.text(x, top + side + 14, f"{100 * at:.0f}", anchor="middle", quiet=True)
        drawing.text(left - 6, y + 3.5, f"{100 * at:.0f}", anchor="end", quiet=True)
    drawing.text(left + side / 2, top + side + 30, chart.x_label, anchor="middle")
    drawing.text(left - 30, top - 10, chart.y_label)
    if chart.diagonal:
        drawing.line([(left, top + side), (left + side, top)], "a", ' stroke-dasharray="3 3"')
    for curve in chart.curves:
        color, marker, link = _style(curve.series)
        known_points = [place for place in range(len(curve.x)) if known(curve.x[place]) and known(curve.y[place])]
        points = [(left + side * curve.x[place], top + side * (1 - curve.y[place])) for place in known_points]
        if len(points) > 1:
            drawing.line(points, f"s {color}", _dash(curve.series) + link)
        for place, (x, y) in zip(known_points, points, strict=True) if chart.dots else ():
            cases = f", {curve.counts[place]:,} cases" if curve.counts else ""
            hint = f"{curve.series.name}: {100 * curve.x[place]:.1f} → {100 * curve.y[place]:.1f}{cases}"
            drawing.mark(marker, x, y, 3.4, color, hint, link)
    _legend(drawing, [curve.series for curve in chart.curves], 374, dashes=True)
    return drawing


def _hint(run: Series, row: ActionRow, value: tuple[float, float | None, float | None]) -> str:
    training = f", {row.in_training} in training" if row.in_training is not None else ""
    return f"{row.name}, {run.name}: AP {100 * value[0]:.1f}{_span(*value[1:])}; {row.labels} labels{training}"


def _action_chart(chart: ActionChart) -> _Drawing:
    lanes = len(chart.runs) if len(chart.runs) <= _LANES else 1
    row, notes = max(15.0, 4.2 * lanes + 3), 62
    names = short_actions([entry.name for entry in chart.rows], 27)
    left, right = _label_width(names, 170) + 8, WIDTH - notes
    below = 46 + row * len(chart.rows)
    drawing = _Drawing(below + 8 + 15 * len(chart.runs))
    _scale(drawing, left, right, 30, below - 6)
    training = any(entry.in_training is not None for entry in chart.rows)
    drawing.text(WIDTH - 4, 11, "labels: test / train" if training else "labels", anchor="end", quiet=True)
    for place, (entry, name) in enumerate(zip(chart.rows, names, strict=True)):
        top = 32 + place * row
        faded = " few" if entry.few else ""
        drawing.parts.append(f'<g class="row" data-action="{entry.action}">')
        drawing.text(left - 6, top + row / 2 + 3.5, name, anchor="end", quiet=entry.few)
        counts = f"{entry.labels} / {entry.in_training}" if entry.in_training is not None else str(entry.labels)
        drawing.text(WIDTH - 4, top + row / 2 + 3.5, counts, anchor="end", quiet=True)
        for number in reversed(range(len(chart.runs))):  # the best run is on top
            run, (value, low, high) = chart.runs[number], entry.values[number]
            if not known(value):
                continue
            color, marker, link = _style(run)
            y = top + row / 2 + (number - (lanes - 1) / 2) * 4.2 if lanes > 1 else top + row / 2
            if low is not None and high is not None:
                ends = [(left + (right - left) * edge, y) for edge in (low, high)]
                only = "" if lanes > 1 or number == 0 else " rest"  # shown when the run is selected
                drawing.line(ends, f"s iv {color}{only}{faded}", link)
            hint = _hint(run, entry, entry.values[number])
            drawing.mark(marker, left + (right - left) * value, y, 2.8, color + faded, hint, link)
        drawing.parts.append("</g>")
    _legend(drawing, chart.runs, below + 10)
    return drawing


def _frequency_chart(chart: FrequencyChart) -> _Drawing:
    left, top, wide, high = 40, 30, WIDTH - 58, 260
    ticks = powers(max((row.labels for row in chart.rows), default=1))
    span = math.log10(max(ticks[-1], 2))
    drawing = _Drawing(top + high + 62 + 15 * len(chart.runs))

    def x_of(labels: float) -> float:
        return left + wide * math.log10(max(labels, 1)) / span

    for tick in ticks:
        drawing.grid(x_of(tick), top, x_of(tick), top + high)
        drawing.text(x_of(tick), top + high + 14, f"{tick:,}", anchor="middle", quiet=True)
    for step in range(5):
        y = top + high * (1 - step / 4)
        drawing.grid(left, y, left + wide, y)
        drawing.text(left - 6, y + 3.5, str(25 * step), anchor="end", quiet=True)
    drawing.text(left + wide / 2, top + high + 29, "labels in the test split", anchor="middle")
    drawing.text(left - 30, top - 12, "average precision")
    if chart.boxes:
        levels = [ticks[-1] ** (step / 40) for step in range(41)]
        chance = [(x_of(level), top + high * (1 - min(level / chart.boxes, 1))) for level in levels]
        drawing.line(chance, "a", ' stroke-dasharray="3 3"')
        drawing.text(left, top + high + 45, "dashed: chance level, the share of persons with the action", quiet=True)
    for number in reversed(range(len(chart.runs))):
        color, marker, link = _style(chart.runs[number])
        for entry in chart.rows:
            value = entry.values[number]
            if known(value[0]):
                faded = " few" if entry.few else ""
                place = (x_of(entry.labels), top + high * (1 - value[0]))
                more = f'{link} data-action="{entry.action}"'
                drawing.mark(marker, *place, 2.8, color + faded, _hint(chart.runs[number], entry, value), more)
    _legend(drawing, chart.runs, top + high + 66)
    return drawing


def _confusion_chart(chart: ConfusionChart) -> _Drawing:
    names, count = short_actions(chart.names, 24), max(len(chart.names), 1)
    left, top, totals = _label_width(names, 150) + 8, _label_width(names, 150) * 0.82 + 34, 56
    cell = (WIDTH - left - totals - 4) / count
    most = max((value for row in chart.table for value in row), default=0) or 1
    drawing = _Drawing(top + cell * (count + 1) + 40)
    drawing.text(left, 11, "predicted instead", quiet=True)
    drawing.text(left - 6, top - 6, "true action", anchor="end", quiet=True)
    drawing.text(WIDTH - 4, top - 6, "found / n", anchor="end", quiet=True)
    for row, name in enumerate(names):
        middle = top + cell * (row + 0.5) + 3.5
        drawing.text(left - 6, middle, name, anchor="end")
        x, y = left + cell * (row + 0.5) + 3, top - 5
        drawing.text(x, y, name, more=f' transform="rotate(-55 {x:.1f} {y:.1f})"')
        drawing.text(WIDTH - 4, middle, f"{chart.found[row]} / {chart.true[row]}", anchor="end", quiet=True)
        for column, value in enumerate(chart.table[row]):
            color, white = heat(value / most)
            x, y = left + cell * column, top + cell * row
            hint = f"{chart.names[row]} taken for {chart.names[column]}: {value:g}" if value else ""
            title = f"<title>{escape(hint)}</title>" if hint else ""
            drawing.parts.append(
                f'<rect class="m" x="{x:.1f}" y="{y:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}" '
                f'fill="{color}">'
                f"{title}</rect>"
            )
            if value >= 0.5 and cell >= 13:
                ink = "#fff" if white else "#000"
                place = (x + cell / 2 - 0.5, y + cell / 2 + 3)
                drawing.text(*place, f"{value:.0f}", anchor="middle", more=f' style="fill:{ink}"')
    bottom = top + cell * count
    drawing.text(left - 6, bottom + 12, "sum", anchor="end", quiet=True)
    for column in range(len(names)):
        total = sum(row[column] for row in chart.table)
        drawing.text(left + cell * (column + 0.5), bottom + 12, f"{total:.0f}", anchor="middle", quiet=True)
    for step in range(11):
        drawing.parts.append(
            f'<rect x="{left + 9 * step:.1f}" y="{bottom + 22:.1f}" width="9" height="9" fill="{heat(step / 10)[0]}"/>'
        )
    drawing.text(left - 6, bottom + 30, "persons: 0", anchor="end", quiet=True)
    drawing.text(left + 105, bottom + 30, f"{most:.0f}", quiet=True)
    return drawing


def _frames_chart(chart: FramesChart) -> _Drawing:
    left, top, wide, high = 44, 26, 320, 220
    drawing = _Drawing(top + high + 40 + 14 * len(chart.rows))
    most_x = max(max(row.frames for row in chart.rows), 2)
    most_y = round_up(max(row.value for row in chart.rows))
    span = math.log2(most_x)
    for tick in (tick for tick in (1, 2, 4, 8, 16, 32, 64, 128) if tick <= most_x):
        x = left + wide * math.log2(tick) / span
        drawing.grid(x, top, x, top + high)
        drawing.text(x, top + high + 14, str(tick), anchor="middle", quiet=True)
    for tick in range(5):
        y = top + high * (1 - tick / 4)
        drawing.grid(left, y, left + wide, y)
        drawing.text(left - 6, y + 3.5, f"{100 * most_y * tick / 4:.4g}", anchor="end", quiet=True)
    drawing.text(left + wide / 2, top + high + 28, "frames", anchor="middle")
    drawing.text(left - 30, top - 10, chart.y_label)
    for place, row in enumerate(chart.rows, start=1):
        color, marker, link = _style(row.series)
        x, y = left + wide * math.log2(max(row.frames, 1)) / span, top + high * (1 - row.value / most_y)
        label = f"{row.name}, {row.frames} frames: {100 * row.value:.2f}"
        drawing.mark(marker, x, y, 5, color, label, link)
        drawing.text(x + 7, y + 3.2, str(place), quiet=row.published, more=link)
        below = top + high + 48 + 14 * (place - 1)
        drawing.text(left, below, f"{place}  {shorten([label], 58)[0]}", quiet=row.published, more=link)
    return drawing


def _difference_chart(chart: DifferenceChart) -> _Drawing:
    names, row = short_actions([name for name, _, _ in chart.rows], 27), 16
    left, right = _label_width(names) + 10, 330
    drawing = _Drawing(40 + row * len(names))
    for tick in (-1, -0.5, 0, 0.5, 1):
        x = left + (right - left) * (tick + 1) / 2
        drawing.line([(x, 22), (x, 30 + row * len(names))], "g" if tick else "a")
        drawing.text(x, 15, f"{100 * tick:+.0f}".replace("-", "−").replace("+0", "0"), anchor="middle", quiet=True)
    for place, ((_, value, interval), name) in enumerate(zip(chart.rows, names, strict=True)):
        y = 34 + row * place
        drawing.text(left - 8, y + 3.5, name, anchor="end")
        if interval is not None:
            ends = [(left + (right - left) * (min(max(edge, -1), 1) + 1) / 2, y) for edge in interval]
            drawing.line(ends, "s iv c0")
        text = f"{100 * value:+.1f}".replace("-", "−")
        drawing.mark("circle", left + (right - left) * (value + 1) / 2, y, 3.5, "c0", f"{name}: {text}")
        drawing.text(WIDTH - 4, y + 3.5, text, anchor="end")
    return drawing


_PAINTERS: dict[type, Callable[..., _Drawing]] = {
    ScoreChart: _score_chart,
    CurveChart: _curve_chart,
    ActionChart: _action_chart,
    FrequencyChart: _frequency_chart,
    ConfusionChart: _confusion_chart,
    FramesChart: _frames_chart,
    DifferenceChart: _difference_chart,
}
