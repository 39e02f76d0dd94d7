"""Paint strokes on a float canvas, with round or flat ends, smooth edges and a dark outline.

Only additions, products, quotients and square roots compute pixels, and end points are rounded to 1/64 of a pixel
first, so every machine paints the same pixels. The last bit of a sine, or another version of Pillow, could differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
Point = tuple[float, float]
Canvas = NDArray[np.float32]  # (height, width, 3), 0..255

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


def paint(canvas: Canvas, strokes: Sequence[Stroke]) -> None:
    """Paint strokes, whose lengths are in pixels, one over the other.

    Most strokes cover a few hundred pixels, for which a call of numpy costs more than its work. So distances and colors
    are computed for all strokes together, as one row of pixels, and only the last step is taken stroke by stroke.
    """
    edge = outline_width(len(canvas))
    seen = [(stroke, place) for stroke in strokes if (place := _patch(canvas, stroke, edge))]
    if not seen:
        return
    painted, patches = [stroke for stroke, _ in seen], np.array([place for _, place in seen])
    sizes = (patches[:, 1] - patches[:, 0]) * (patches[:, 3] - patches[:, 2])
    depth = _depths(painted, patches, sizes)
    outlined = np.array([stroke.outline for stroke in painted])
    cover = _clamp(depth + np.repeat(np.where(outlined, np.float32(edge), np.float32(0)), sizes))
    inside = np.maximum(_clamp(depth), np.repeat(np.where(outlined, np.float32(0), np.float32(1)), sizes))
    inside, cover = np.repeat(inside, 3), np.repeat(cover, 3)  # as the colors lie in memory: one row, three per pixel
    tints = np.array([stroke.color for stroke in painted], np.float32) - np.array(INK, np.float32)
    colors = np.repeat(tints, sizes, axis=0).reshape(-1)
    colors *= inside
    colors.reshape(-1, 3)[...] += np.array(INK, np.float32)
    lines, start = canvas.reshape(len(canvas), -1), 0
    for _, (x0, x1, y0, y1) in seen:
        patch, end = lines[y0:y1, 3 * x0 : 3 * x1], start + 3 * (x1 - x0) * (y1 - y0)
        change = colors[start:end].reshape(patch.shape)
        change -= patch
        change *= cover[start:end].reshape(patch.shape)
        patch += change
        start = end


def _patch(canvas: Canvas, stroke: Stroke, edge: float) -> tuple[int, int, int, int] | None:
    """Return the pixels that a stroke can touch: first column, end, first row, end; None if it is out of sight."""
    left, top, right, bottom = bounds(stroke, edge if stroke.outline else 0.0)
    x0, x1 = max(int(left) - 1, 0), min(int(right) + 2, canvas.shape[1])
    y0, y1 = max(int(top) - 1, 0), min(int(bottom) + 2, canvas.shape[0])
    return (x0, x1, y0, y1) if x0 < x1 and y0 < y1 else None


def bounds(stroke: Stroke, edge: float) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a stroke, in pixels."""
    (ax, ay), (bx, by) = stroke.a, stroke.b
    wide = tall = stroke.half + edge
    length = sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay))
    if stroke.flat and length:
        along, across = abs(bx - ax) / length, abs(by - ay) / length
        wide, tall = edge * along + wide * across, edge * across + wide * along
    return min(ax, bx) - wide, min(ay, by) - tall, max(ax, bx) + wide, max(ay, by) + tall


def _depths(strokes: Sequence[Stroke], patches: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return how far inside its stroke each pixel is, row by row and patch by patch."""
    x0, x1, y0, y1 = patches.T
    heights = y1 - y0
    width_of_row = np.repeat(x1 - x0, heights)
    rows, columns = _centers(heights, y0), _centers(width_of_row, np.repeat(x0, heights))

    a, b = (np.array([getattr(stroke, end) for stroke in strokes]) for end in "ab")
    half = np.array([stroke.half for stroke in strokes])
    (ax, ay), (dx, dy) = a.T.astype(np.float32), (b - a).T.astype(np.float32)
    square = dx * dx + dy * dy
    flat = np.array([stroke.flat for stroke in strokes]) & (square > 0)
    length = np.sqrt(square)
    square[square == 0] = 1  # a disc: the nearest point is its center

    dx_of, dy_of = np.repeat(dx, sizes), np.repeat(dy, sizes)
    px = columns - np.repeat(ax, sizes)
    py = rows - np.repeat(ay, heights)
    along = px * dx_of
    along += np.repeat(py * np.repeat(dy, heights), width_of_row)
    along /= np.repeat(square, sizes)
    py = np.repeat(py, width_of_row)
    nearest = _clamp(along)
    distance = (px - nearest * dx_of) ** 2
    distance += (py - nearest * dy_of) ** 2
    np.sqrt(distance, out=distance)
    if flat.any():  # the distance to the middle line; beyond an end, shifted to end the stroke there
        ends = np.repeat(flat, sizes)
        counts = sizes[flat]
        longs = np.repeat(length[flat], counts)
        beyond = np.abs(along[ends] - np.float32(0.5)) * longs - np.repeat(length[flat] / 2, counts)
        across = np.abs(px[ends] * dy_of[ends] - py[ends] * dx_of[ends]) / longs
        distance[ends] = np.maximum(across, beyond + np.repeat(half[flat].astype(np.float32), counts))
    depth: NDArray[np.float32] = np.repeat((half + 0.5).astype(np.float32), sizes) - distance
    return depth


def _centers(lengths: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the centers of pixels in runs of the given lengths, each from its first pixel.

    >>> _centers(np.array([2, 3]), np.array([5, 0])).tolist()
    [5.5, 6.5, 0.5, 1.5, 2.5]
    """
    before = np.cumsum(lengths) - lengths
    counted = np.arange(lengths.sum(), dtype=np.float32)  # exact, as there are fewer than 2**24
    counted -= np.repeat((before - starts).astype(np.float32), lengths)
    counted += np.float32(0.5)
    return counted


def _clamp(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    clamped = np.maximum(depth, np.float32(0))
    return np.minimum(clamped, np.float32(1), out=clamped)


def round_to_64th(value: float) -> float:
    """Round to 1/64 of a pixel.

    >>> round_to_64th(1.0001)
    1.0
    """
    return round(value * 64) / 64
