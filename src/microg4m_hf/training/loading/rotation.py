"""Rotate a crop and its boxes by any angle: positions, borders, samples and re-fitted boxes, as numbers.

Coordinates are pixels from the top left corner, where pixel ``i`` reaches from ``i`` to ``i + 1``: quarter turns then
move pixels and boxes exactly. What lies beyond the border of the frame is its mirror image, so that no edge betrays a
rotation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rotation:
    """Rotate a crop clockwise by ``degrees`` around its point ``(x, y)``; mirror it top to bottom if asked."""

    degrees: float
    x: float
    y: float
    mirror: bool = False


@dataclass(frozen=True)
class Samples:
    """The bilinear samples that make a rotated crop, as places in a frame of which all pixels are in one row."""

    corners: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # top left, bottom left, top right, bottom right
    down: np.ndarray  # weight of the lower neighbors, float32
    right: np.ndarray  # weight of the right neighbors, float32


def rotated_boxes(boxes: np.ndarray, rotation: Rotation, flip: bool, height: int, width: int) -> np.ndarray:
    """Rotate boxes with their crop: the smallest upright box around the rotated corners, clipped to the crop.

    A box outside the crop collapses onto its border. Between quarter turns, boxes grow: the corners of a box are
    farther out than the person in it.

    Args:
        boxes: xyxy (n, 4) in pixels of the crop before the rotation; they may reach beyond it.
        rotation: The rotation.
        flip: Mirror left to right after it.
        height: Height of the crop.
        width: Width of the crop.

    Returns:
        xyxy (n, 4) in pixels of the rotated crop.

    Example:
        >>> rotated_boxes(np.array([[0.0, 0.0, 2.0, 4.0]]), Rotation(90, 4, 4), False, 8, 8).tolist()
        [[4.0, 0.0, 8.0, 2.0]]
    """
    cos, sin = _cos_and_sin(rotation.degrees)
    x = boxes[:, [0, 2, 0, 2]] - rotation.x
    y = boxes[:, [1, 1, 3, 3]] - rotation.y
    x, y = rotation.x + x * cos - y * sin, rotation.y + x * sin + y * cos
    if flip:
        x = width - x
    if rotation.mirror:
        y = height - y
    x, y = x.clip(0, width), y.clip(0, height)
    return np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], 1)


def crop_positions(rotation: Rotation, flip: bool, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y, before the rotation, of the middle of every pixel of a rotated crop.

    >>> x, y = crop_positions(Rotation(90, 1, 1), False, 2, 2)
    >>> x.tolist(), y.tolist()
    ([[0.5, 0.5], [1.5, 1.5]], [[1.5, 0.5], [1.5, 0.5]])
    """
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    if flip:
        x = width - x
    if rotation.mirror:
        y = height - y
    cos, sin = _cos_and_sin(rotation.degrees)
    x, y = x - rotation.x, y - rotation.y
    return rotation.x + x * cos + y * sin, rotation.y - x * sin + y * cos


def frame_samples(x: np.ndarray, y: np.ndarray, height: int, width: int) -> Samples:
    """Return the samples at positions in a frame; those outside are reflected at its border, as often as needed."""
    top, bottom, down = _neighbors(y, height)
    left, right, across = _neighbors(x, width)
    rows, below = top * width, bottom * width
    return Samples((rows + left, below + left, rows + right, below + right), down, across)


def _neighbors(position: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels before and behind each position on one axis, and the weight of the second."""
    position = position.ravel() % (2 * size)
    position = np.where(position > size, 2 * size - position, position)
    index = (position - 0.5).clip(0, size - 1)
    first = np.floor(index).astype(np.int64)
    return first, (first + 1).clip(max=size - 1), (index - first).astype(np.float32)


def _cos_and_sin(degrees: float) -> tuple[float, float]:
    """Cosine and sine, which are whole numbers for quarter turns.

    >>> _cos_and_sin(90), _cos_and_sin(-180)
    ((0.0, 1.0), (-1.0, 0.0))
    """
    quarters, rest = divmod(degrees, 90)
    if rest == 0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarters) % 4]
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
