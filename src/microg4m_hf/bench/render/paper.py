"""Draw the charts of a report for papers with matplotlib: PDF and SVG, as wide as a column or a page."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...extras import require
from ...storage import write_atomic
from ...visible import visible
from .charts import (
    COLORS,
    DASHES,
    MARKERS,
    ActionChart,
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
from .document import Figure

WIDTHS = {"84mm": 8.4, "176mm": 17.6}  # centimeters: a column and a page of most journals
_MARKERS = dict(zip(MARKERS, "os^DPv", strict=True))
_STYLE: Any = {
    "pdf.fonttype": 42, "svg.fonttype": "path", "font.family": "DejaVu Sans", "font.size": 7.5, "axes.titlesize": 7.5,
    "axes.labelsize": 7.5, "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7, "axes.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.linewidth": 0.4,
    "grid.color": "#d5dbe1", "axes.axisbelow": True, "lines.linewidth": 1.2, "lines.markersize": 4,
    "svg.hashsalt": "microg4m", "legend.frameon": False, "text.parse_math": False, "axes.unicode_minus": True,
}  # fmt: skip


def write_figures(figures: Sequence[Figure], folder: Path, *, png: bool, paper: bool) -> None:
    """Write charts with matplotlib.

    Args:
        figures: The charts.
        folder: The folder of the report.
        png: Write ``figures/<name>.png``, 8.4 cm wide with 300 dots per inch.
        paper: Write ``paper/<name>-84mm`` and ``-176mm`` as PDF and SVG. Fonts are embedded.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", "figures for papers")
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context(_STYLE):
        for figure in figures:
            for name, width in WIDTHS.items():
                if not paper and name != "84mm":
                    continue
                canvas = Canvas(figsize=(width / 2.54, 3.0), layout="constrained")
                _PAINTERS[type(figure.chart)](canvas, figure.chart, name != "84mm")
                if paper:
                    for kind, metadata in (("pdf", {"CreationDate": None}), ("svg", {"Date": None})):
                        _save(canvas, folder / "paper" / f"{figure.name}-{name}.{kind}", metadata)
                if png and name == "84mm":
                    _save(canvas, folder / "figures" / f"{figure.name}.png", {})


def _save(canvas: Any, path: Path, metadata: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    canvas.savefig(buffer, format=path.suffix[1:], metadata=metadata, dpi=300)
    write_atomic(path, buffer.getvalue())
    canvas.set_layout_engine("none")  # the next format has the same layout


def _style(series: Series | None) -> dict[str, Any]:
    if series is None:
        return {"color": "#57606a", "marker": "o", "markerfacecolor": "white"}
    return {
        "color": COLORS[series.place % len(COLORS)],
        "marker": _MARKERS[MARKERS[series.place % len(MARKERS)]],
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }


def _dash(series: Series) -> Any:
    dash = DASHES[series.place // 2 % len(DASHES)]
    return (0, tuple(part / 2 for part in dash)) if dash else "-"


def _names(names: Sequence[str], is_wide: bool, narrow: int = 22) -> list[str]:
    return shorten([visible(name) for name in names], 40 if is_wide else narrow)


def _size(canvas: Any, height: float) -> Any:
    """Set the height in inches and return the axes."""
    canvas.set_size_inches(canvas.get_figwidth(), height)
    return canvas.subplots()


def _legend(canvas: Any, axes: Any, runs: Sequence[Series], is_wide: bool) -> None:
    """Put the names of the runs below the chart, in their order and in as many columns as fit."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    shown = [run for run in runs if run.name in handles]
    names = _names([run.name for run in shown], is_wide)
    columns = max(1, min(len(names), int((120 if is_wide else 58) / (max(map(len, names), default=1) + 7))))
    canvas.legend([handles[run.name] for run in shown], names, loc="outside lower center", ncols=columns)


def _score_chart(canvas: Any, chart: ScoreChart, is_wide: bool) -> None:
    axes = _size(canvas, 0.55 + 0.17 * len(chart.rows))
    for place, bar in enumerate(chart.rows):
        if known(bar.value):
            style = _style(bar.series)
            if bar.low is not None and bar.high is not None:
                axes.plot([100 * bar.low, 100 * bar.high], [place, place], color=style["color"], linewidth=1.2)
            axes.plot([100 * bar.value], [place], linestyle="none", **style)
    axes.set_yticks(range(len(chart.rows)), _names([bar.name for bar in chart.rows], is_wide, 31))
    axes.set_ylim(len(chart.rows) - 0.5, -0.5)
    ends = [edge for bar in chart.rows for edge in (bar.value, bar.high) if edge is not None and known(edge)]
    axes.set_xlim(0, 100 * round_up(max(ends, default=1.0)))
    axes.set_xlabel(chart.title)


def _curve_chart(canvas: Any, chart: CurveChart, is_wide: bool) -> None:
    axes = _size(canvas, (3.4 if is_wide else 3.0) + 0.07 * len(chart.curves))
    if chart.diagonal:
        axes.plot([0, 100], [0, 100], color="#57606a", linewidth=0.6, linestyle=":", label="_")
    for curve in chart.curves:
        style = _style(curve.series)
        if not chart.dots:
            style["markevery"] = (curve.series.place * 2 % 10, 10)
        x, y = ([100 * value for value in values] for values in (curve.x, curve.y))
        axes.plot(x, y, linestyle=_dash(curve.series), label=curve.series.name, **style)
    axes.set(xlim=(0, 100), ylim=(0, 101), xlabel=chart.x_label, ylabel=chart.y_label)
    _legend(canvas, axes, [curve.series for curve in chart.curves], is_wide)


def _action_chart(canvas: Any, chart: ActionChart, is_wide: bool) -> None:
    lanes = len(chart.runs) if len(chart.runs) <= 3 else 1
    axes = _size(canvas, min(0.9 + 0.13 * len(chart.runs) / 2 + 0.135 * len(chart.rows), 9.3))
    for number in reversed(range(len(chart.runs))):
        run, style = chart.runs[number], _style(chart.runs[number]) | {"markersize": 3.2}
        shift = (number - (lanes - 1) / 2) * 0.8 / lanes
        for is_few in (True, False):
            points = [
                (place + shift, *(100 * edge if edge is not None else None for edge in row.values[number]))
                for place, row in enumerate(chart.rows)
                if row.few == is_few and known(row.values[number][0])
            ]
            alpha, label = (0.4, "_") if is_few else (1.0, run.name)
            if lanes > 1 or number == 0:
                lines = [(y, low, high) for y, _, low, high in points if low is not None]
                if lines:
                    axes.hlines(*zip(*lines, strict=True), color=style["color"], linewidth=0.8, alpha=0.8 * alpha)
            x, y = [point[1] for point in points], [point[0] for point in points]
            axes.plot(x, y, linestyle="none", alpha=alpha, label=label, **style)
    names = short_actions([row.name for row in chart.rows], 40 if is_wide else 24)
    axes.set_yticks(range(len(names)), [f"{name} ({row.labels})" for name, row in zip(names, chart.rows, strict=True)])
    axes.set(xlim=(0, 100), ylim=(len(names) - 0.4, -0.6), xlabel="AP, % (labels in brackets)")
    _legend(canvas, axes, chart.runs, is_wide)


def _frequency_chart(canvas: Any, chart: FrequencyChart, is_wide: bool) -> None:
    axes = _size(canvas, 2.9 + 0.07 * len(chart.runs))
    most = max((row.labels for row in chart.rows), default=1)
    if chart.boxes:
        levels = [most ** (step / 40) for step in range(41)]
        axes.plot(
            levels, [100 * min(level / chart.boxes, 1) for level in levels], color="#57606a", linestyle=":", label="_"
        )
    for number in reversed(range(len(chart.runs))):
        run, style = chart.runs[number], _style(chart.runs[number]) | {"markersize": 3.2}
        for is_few, label in ((True, "_"), (False, run.name)):
            rows = [row for row in chart.rows if row.few == is_few and known(row.values[number][0])]
            if rows or not is_few:
                x, y = [row.labels for row in rows], [100 * row.values[number][0] for row in rows]
                axes.plot(x, y, linestyle="none", alpha=0.4 if is_few else 1.0, label=label, **style)
    axes.set_xscale("log")
    ticks = powers(most)
    axes.set_xticks(ticks[:: 1 if is_wide else 2], [f"{tick:,}" for tick in ticks[:: 1 if is_wide else 2]])
    axes.minorticks_off()
    axes.set(ylim=(-2, 102), xlabel="labels in the test split (dotted: chance)", ylabel="average precision")
    _legend(canvas, axes, chart.runs, is_wide)


def _confusion_chart(canvas: Any, chart: ConfusionChart, is_wide: bool) -> None:
    from matplotlib.colors import ListedColormap

    axes = _size(canvas, 5.0 if is_wide else 3.4)
    colors = ListedColormap([heat(step / 255)[0] for step in range(256)])
    most = max((value for row in chart.table for value in row), default=0) or 1
    image = axes.imshow(chart.table, cmap=colors, vmin=0, vmax=most, aspect="auto")
    names = short_actions(chart.names, 40 if is_wide else 18)
    axes.set_xticks(range(len(names)), names, rotation=90)
    counts = zip(names, chart.found, chart.true, strict=True)
    labels = [f"{name} ({found}/{true})" for name, found, true in counts] if is_wide else names
    axes.set_yticks(range(len(names)), labels)
    axes.grid(visible=False)
    for row, values in enumerate(chart.table):
        for column, value in enumerate(values):
            if value >= 0.5 and (is_wide or len(names) <= 12):
                ink = "white" if heat(value / most)[1] else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=7)
    axes.set(xlabel="predicted instead", ylabel="true action (found/persons)" if is_wide else "true action")
    if is_wide:  # in a column, the numbers in the cells are the key
        canvas.colorbar(image, ax=axes, label="persons", fraction=0.05, pad=0.02)


def _frames_chart(canvas: Any, chart: FramesChart, is_wide: bool) -> None:
    axes = _size(canvas, 2.9 + 0.07 * len(chart.rows))
    for place, row in enumerate(chart.rows, start=1):
        axes.plot([row.frames], [100 * row.value], linestyle="none", label=f"{place} {row.name}", **_style(row.series))
        axes.annotate(str(place), (row.frames, 100 * row.value), xytext=(4, 2), textcoords="offset points", fontsize=7)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlabel="frames", ylabel=chart.y_label, ylim=(0, 100 * round_up(max(row.value for row in chart.rows))))
    _legend(canvas, axes, [Series(f"{place} {row.name}") for place, row in enumerate(chart.rows, start=1)], is_wide)


def _difference_chart(canvas: Any, chart: DifferenceChart, is_wide: bool) -> None:
    axes = _size(canvas, min(0.6 + 0.15 * len(chart.rows), 9.3))
    for place, (_, value, interval) in enumerate(chart.rows):
        if interval is not None:
            axes.plot([100 * edge for edge in interval], [place, place], color=COLORS[0], linewidth=1)
        axes.plot([100 * value], [place], linestyle="none", **_style(Series("", "", 0)))
    axes.axvline(0, color="#1b1f24", linewidth=0.6)
    axes.set_yticks(range(len(chart.rows)), short_actions([name for name, _, _ in chart.rows], 40 if is_wide else 24))
    axes.set(xlim=(-100, 100), ylim=(len(chart.rows) - 0.5, -0.5), xlabel="difference × 100")


_PAINTERS: dict[type[Chart], Callable[..., None]] = {
    ScoreChart: _score_chart,
    CurveChart: _curve_chart,
    ActionChart: _action_chart,
    FrequencyChart: _frequency_chart,
    ConfusionChart: _confusion_chart,
    FramesChart: _frames_chart,
    DifferenceChart: _difference_chart,
}
