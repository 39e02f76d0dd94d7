"""What a chart of a report shows; ``svg.py`` draws it for pages and ``paper.py`` for papers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

FEW_LABELS = 10  # an action with fewer test labels is faded: its average precision rests on single persons

# Distinguishable by color-blind readers and of unlike brightness in gray print; at least 4.5:1 on white. Markers and
# dashes repeat the distinction without color.
COLORS = ("#0b5fa5", "#a84300", "#00704a", "#7a3e9d", "#6d5200", "#b0185a", "#2b3a42", "#5f6b00")
MARKERS = ("circle", "square", "triangle", "diamond", "cross", "down")
DASHES = ((), (6, 3), (2, 2), (8, 3, 2, 3))


class Series(NamedTuple):
    """A run in charts: ``key`` names it in the page, ``place`` decides its color and marker in all charts alike."""

    name: str
    key: str = ""
    place: int = 0


class Bar(NamedTuple):
    """A value between 0 and 1 with its interval."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    published: bool = False
    series: Series | None = None


class Curve(NamedTuple):
    """A line of a run; ``counts`` says how many cases each point stands for."""

    series: Series
    x: Sequence[float]
    y: Sequence[float]
    counts: Sequence[int] = ()


class ActionRow(NamedTuple):
    """An action with its labels and, for every run, the average precision and its interval."""

    action: int
    name: str
    labels: int
    in_training: int | None
    values: Sequence[tuple[float, float | None, float | None]]

    @property
    def few(self) -> bool:
        """Whether the action has too few labels for a stable score."""
        return self.labels < FEW_LABELS


@dataclass(frozen=True)
class ScoreChart:
    """A dot with its interval for every run; published values are hollow."""

    title: str
    rows: Sequence[Bar]

    @property
    def description(self) -> str:
        """The chart in words."""
        return "; ".join(f"{bar.name} {100 * bar.value:.2f}" for bar in self.rows[:12] if known(bar.value))


@dataclass(frozen=True)
class CurveChart:
    """Curves in the unit square."""

    title: str
    curves: Sequence[Curve]
    x_label: str
    y_label: str
    diagonal: bool = False
    dots: bool = False

    @property
    def description(self) -> str:
        """The chart in words."""
        return f"{self.y_label} against {self.x_label} for {', '.join(curve.series.name for curve in self.curves)}"


@dataclass(frozen=True)
class ActionChart:
    """The average precision of every action for all runs, the most frequent action first."""

    title: str
    runs: Sequence[Series]
    rows: Sequence[ActionRow]

    @property
    def description(self) -> str:
        """The chart in words."""
        few = sum(row.few for row in self.rows)
        return (
            f"{len(self.rows)} actions, the most frequent first, with {len(self.runs)} runs each; {few} actions with "
            f"fewer than {FEW_LABELS} labels are faded"
        )


@dataclass(frozen=True)
class FrequencyChart:
    """The same values against the number of labels; ``boxes`` gives the chance level."""

    title: str
    runs: Sequence[Series]
    rows: Sequence[ActionRow]
    boxes: int

    @property
    def description(self) -> str:
        """The chart in words."""
        return f"Average precision against labels for {len(self.rows)} actions and {len(self.runs)} runs"


@dataclass(frozen=True)
class ConfusionChart:
    """Missed actions (rows) by what was predicted instead (columns); ``true`` and ``found`` count persons."""

    title: str
    names: Sequence[str]
    table: Sequence[Sequence[float]]
    true: Sequence[int]
    found: Sequence[int]

    @property
    def description(self) -> str:
        """The chart in words."""
        pairs = [
            (value, self.names[row], self.names[column])
            for row, values in enumerate(self.table)
            for column, value in enumerate(values)
        ]
        top = sorted(pairs, reverse=True)[:5]
        return "Most frequent: " + "; ".join(f"{true} taken for {other}, {value:g}" for value, true, other in top)


class FramesPoint(NamedTuple):
    """A score with the number of frames that the model saw."""

    name: str
    frames: int
    value: float
    published: bool = False
    series: Series | None = None


@dataclass(frozen=True)
class FramesChart:
    """Scores against the number of frames, on a logarithmic axis."""

    title: str
    rows: Sequence[FramesPoint]
    y_label: str

    @property
    def description(self) -> str:
        """The chart in words."""
        return f"{self.y_label} against frames for {len(self.rows)} systems"


@dataclass(frozen=True)
class DifferenceChart:
    """Differences around zero with their intervals; ``rows`` are ``(name, difference, interval)``, largest first."""

    title: str
    rows: Sequence[tuple[str, float, Sequence[float] | None]] = field(default_factory=tuple)

    @property
    def description(self) -> str:
        """The chart in words."""
        return "largest: " + "; ".join(f"{name} {100 * value:+.1f}" for name, value, _ in self.rows[:8])


Chart = ScoreChart | CurveChart | ActionChart | FrequencyChart | ConfusionChart | FramesChart | DifferenceChart


def known(value: float | None) -> bool:
    """Return whether a value is a number."""
    return value is not None and value == value


def round_up(value: float) -> float:
    """Return the next round number above.

    >>> round_up(0.47), round_up(0.034), round_up(0.0)
    (0.5, 0.04, 1.0)
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        round(step * power, 12) for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value - 1e-12
    )


def powers(most: float) -> list[int]:
    """Return the ticks of a logarithmic axis that starts at 1.

    >>> powers(30)
    [1, 2, 5, 10, 20, 50]
    """
    ticks = [step * 10**exponent for exponent in range(6) for step in (1, 2, 5)]
    return [tick for place, tick in enumerate(ticks) if place == 0 or ticks[place - 1] < most]


def short_actions(names: Sequence[str], limit: int) -> list[str]:
    """Shorten names of actions: first without their examples in brackets, then in the middle.

    >>> short_actions(["talk to (e.g., self, a person, a group)", "touch (an object)", "touch (a person)"], 20)
    ['talk to', 'touch (an object)', 'touch (a person)']
    """
    bare = [" ".join(re.sub(r"\([^)]*\)", " ", name).split()).replace(" /", "/") for name in names]
    plain = [
        other if len(name) > limit and bare.count(other) == 1 else name for name, other in zip(names, bare, strict=True)
    ]
    return shorten(plain, limit)


def shorten(names: Sequence[str], limit: int) -> list[str]:
    """Shorten long names in the middle, so that both ends stay readable and no two become the same.

    >>> shorten(["i3d_8x8_r50_lr1e-4_seed0", "i3d_8x8_r50_lr1e-4_seed1", "c2d"], 14)
    ['i3d_8x…4_seed0', 'i3d_8x…4_seed1', 'c2d']
    """
    for length in range(limit, max(map(len, names), default=0) + 1):
        front = (length - 1) // 2
        found = [name if len(name) <= length else f"{name[:front]}…{name[front + 1 - length :]}" for name in names]
        if len(set(found)) == len(set(names)):
            return found
    return list(names)


def heat(share: float) -> tuple[str, bool]:
    """Return the color of a heat cell, and whether white text is more readable on it than black text.

    >>> heat(0.0), heat(1.0)
    (('#eef4fa', False), ('#0b3d6b', True))
    """
    rgb = [a + (b - a) * min(max(share, 0.0), 1.0) for a, b in ((238, 11), (244, 61), (250, 107))]
    linear = [(v / 255 / 12.92) if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in rgb]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#" + "".join(f"{round(v):02x}" for v in rgb), 1.05 / (light + 0.05) > (light + 0.05) / 0.0595
