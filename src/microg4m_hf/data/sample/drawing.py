"""Paint strokes on a float canvas, with round or flat ends, smooth edges and a dark outline.

Only additions, products, quotients and square roots compute pixels, and end points are rounded to 1/64 of a pixel
first, so every machine paints the same pixels. The last bit of a sine, or another version of Pillow, could differ.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
Point = tuple[float, float]
Canvas = NDArray[np.float32]  # (3, height, width), 0..255

INK: Color = (24, 26, 34)


class Stroke(NamedTuple):
    """A line from ``a`` to ``b`` with a half width; round ends for limbs and discs, flat ends for boxes and screens."""

    a: Point
    b: Point
    half: float
    color: Color
    flat: bool = False
    outline: bool = True
    body: bool = True  # part of the person, so inside the box


def disc(center: Point, radius: float, color: Color, *, outline: bool = True, body: bool = True) -> Stroke:
    return Stroke(center, center, radius, color, outline=outline, body=body)


def outline_width(height: int) -> float:
    """Return the width in pixels of the dark edge around strokes on a frame of this height."""
    return max(1.0, height / 144)


def paint(canvas: Canvas, stroke: Stroke) -> None:
    """Paint one stroke, whose lengths are in pixels."""
    edge = outline_width(canvas.shape[1]) if stroke.outline else 0.0
    left, top, right, bottom = bounds(stroke, edge)
    x0, x1 = max(int(left) - 1, 0), min(int(right) + 2, canvas.shape[2])
    y0, y1 = max(int(top) - 1, 0), min(int(bottom) + 2, canvas.shape[1])
    if x0 >= x1 or y0 >= y1:
        return
    columns, rows = _centers(canvas.shape[2]), _centers(canvas.shape[1])
    depth = np.float32(stroke.half + 0.5) - _distance(stroke, columns[x0:x1], rows[y0:y1, None])
    patch = canvas[:, y0:y1, x0:x1]
    color = _as_column(stroke.color)
    if edge:
        color = _as_column(INK) + _clamp(depth) * (color - _as_column(INK))
        depth = depth + np.float32(edge)
    patch += _clamp(depth) * (color - patch)


def bounds(stroke: Stroke, edge: float) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a stroke, in pixels."""
    (ax, ay), (bx, by) = stroke.a, stroke.b
    wide = tall = stroke.half + edge
    length = sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay))
    if stroke.flat and length:
        along, across = abs(bx - ax) / length, abs(by - ay) / length
        wide, tall = edge * along + wide * across, edge * across + wide * along
    return min(ax, bx) - wide, min(ay, by) - tall, max(ax, bx) + wide, max(ay, by) + tall


def _distance(stroke: Stroke, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the distance of each pixel to the middle line; beyond a flat end, shifted to end the stroke there."""
    (ax, ay), (bx, by) = stroke.a, stroke.b
    dx, dy = np.float32(bx - ax), np.float32(by - ay)
    px, py = x - np.float32(ax), y - np.float32(ay)
    square = dx * dx + dy * dy
    if not square:
        return np.sqrt(px * px + py * py)
    along = ((px * dx + py * dy) / square).astype(np.float32, copy=False)
    if stroke.flat:
        length = np.sqrt(square)
        beyond = np.abs(along - np.float32(0.5)) * length - length / 2
        across = np.abs(px * dy - py * dx) / length
        return np.maximum(across, beyond + np.float32(stroke.half))
    nearest = _clamp(along)
    px, py = px - nearest * dx, py - nearest * dy
    return np.sqrt(px * px + py * py)


def _clamp(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.minimum(np.maximum(depth, np.float32(0)), np.float32(1))


@lru_cache(maxsize=8)
def _centers(count: int) -> NDArray[np.float32]:
    return np.arange(count, dtype=np.float32) + np.float32(0.5)


@lru_cache(maxsize=256)
def _as_column(color: Color) -> NDArray[np.float32]:
    return np.array(color, np.float32)[:, None, None]


def round_to_64th(value: float) -> float:
    """Round to 1/64 of a pixel.

    >>> round_to_64th(1.0001)
    1.0
    """
    return round(value * 64) / 64
