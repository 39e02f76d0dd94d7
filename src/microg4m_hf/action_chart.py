"""Draw a bar for each action as an SVG picture: the figures of dataset and model cards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

COLORS = ("#2b6cb0", "#e0a030", "#8a3f7b")  # told apart in gray print and by color-blind readers
_INK, _MUTED, _GRID = "#1f2430", "#5b6270", "#d4d8e0"
_WIDTH, _LEFT, _RIGHT, _ROW = 760, 230, 110, 17


class ActionBar(NamedTuple):
    """One line of the picture: the lengths of its parts, and what stands behind the bar."""

    name: str
    parts: tuple[float, ...]
    text: str


def draw_action_bars(
    title: str, bars: Sequence[ActionBar], *, most: float | None = None, unit: str = "", legend: Sequence[str] = ()
) -> str:
    """Return an SVG picture with one bar for each action, on white ground for light and dark pages.

    Args:
        title: The heading, which is also read out.
        bars: The lines from top to bottom.
        most: The value at the right end of the axis; by default a round number above the longest bar.
        unit: Follows the numbers of the axis.
        legend: What the parts of a bar are, if there are several.

    Example:
        >>> draw_action_bars("Labels", [ActionBar("eat", (3, 1), "4")], legend=("train", "test")).count("<rect")
        5
    """
    most = most or _round_up(max((sum(bar.parts) for bar in bars), default=1))
    top = 66 if legend else 44
    bottom = top + _ROW * len(bars)
    right = _WIDTH - _RIGHT
    parts = [_text(12, 24, title, size=16)]
    x = 12.0
    for color, label in zip(COLORS, legend, strict=False):
        parts += [_rect(x, 37, 12, color), _text(x + 18, 47, label)]
        x += 34 + 7 * len(label)
    for step in range(5):
        place = _LEFT + (right - _LEFT) * step / 4
        parts.append(f'<path d="M{place:.1f} {top}V{bottom}" stroke="{_GRID}"/>')
        parts.append(_text(place, bottom + 16, f"{most * step / 4:,g}{unit}", color=_MUTED, anchor="middle"))
    for row, bar in enumerate(bars):
        y, x = top + _ROW * row, float(_LEFT)
        parts.append(_text(_LEFT - 8, y + 13, bar.name, anchor="end"))
        for color, value in zip(COLORS, bar.parts, strict=False):
            length = (right - _LEFT) * value / most
            parts.append(_rect(x, y + 3, length, color))
            x += length
        parts.append(_text(x + 6, y + 13, bar.text, color=_MUTED))
    height = bottom + 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif"><title>{escape(title)}</title>'
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _round_up(value: float) -> float:
    """Return a number of the same size that four steps divide into round ones.

    >>> _round_up(34), _round_up(2407), _round_up(3)
    (40, 4000, 4)
    """
    size = 10 ** max(math.floor(math.log10(value)) if value > 0 else 0, 0)
    return next(step * size for step in (1, 2, 4, 6, 8, 10, 20) if step * size >= max(value, 4))


def _rect(x: float, y: float, width: float, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="11" fill="{color}"/>'


def _text(x: float, y: float, text: str, *, size: int = 12, color: str = _INK, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"
