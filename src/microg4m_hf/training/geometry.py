"""Where the pixels and the boxes of a clip go: scale, crop and flip as numbers, drawn once per item.

The released pipeline resizes with one factor, crops, flips and clips boxes to the border; boxes that are cropped
away collapse onto it and stay. Pixels follow the same numbers on the device (`pixels.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .recipe import Data


@dataclass(frozen=True)
class Geometry:
    """Resize to ``(height, width)``, cut ``(crop_height, crop_width)`` at ``(top, left)``, then maybe mirror."""

    height: int
    width: int
    top: int
    left: int
    crop_height: int
    crop_width: int
    flip: bool = False


def training_geometry(height: int, width: int, data: Data, rng: np.random.Generator) -> Geometry:
    """Random scale (1/side uniform), random square crop or the whole frame, mirrored with probability ``data.flip``."""
    low, high = data.short_side
    side = round(1.0 / rng.uniform(1.0 / high, 1.0 / low)) if high > low else low
    if data.crop is None:
        new_height, new_width = resized(height, width, side)
        return Geometry(new_height, new_width, 0, 0, new_height, new_width, bool(rng.random() < data.flip))
    new_height, new_width = resized(height, width, max(side, data.crop))
    top = int(rng.integers(0, new_height - data.crop)) if new_height > data.crop else 0
    left = int(rng.integers(0, new_width - data.crop)) if new_width > data.crop else 0
    return Geometry(new_height, new_width, top, left, data.crop, data.crop, bool(rng.random() < data.flip))


def evaluation_geometry(height: int, width: int, short_side: int, centre_crop: bool) -> Geometry:
    """The whole frame at ``short_side``, or its centre square.

    >>> evaluation_geometry(480, 854, 256, centre_crop=False).crop_width
    455
    >>> evaluation_geometry(480, 854, 256, centre_crop=True).left
    100
    """
    new_height, new_width = resized(height, width, short_side)
    if not centre_crop:
        return Geometry(new_height, new_width, 0, 0, new_height, new_width)
    top, left = math.ceil((new_height - short_side) / 2), math.ceil((new_width - short_side) / 2)
    return Geometry(new_height, new_width, top, left, short_side, short_side)


def resized(height: int, width: int, short_side: int) -> tuple[int, int]:
    """The short side becomes ``short_side``, the long one is rounded down.

    >>> resized(480, 854, 256)
    (256, 455)
    """
    if min(height, width) == short_side:
        return height, width
    if width < height:
        return math.floor(height / width * short_side), short_side
    return short_side, math.floor(width / height * short_side)


def move_boxes(boxes: np.ndarray, height: int, width: int, geometry: Geometry) -> np.ndarray:
    """Normalised xyxy of the original frame to normalised xyxy of what the network sees.

    >>> move_boxes(np.array([[0.0, 0.0, 0.5, 0.5]]), 100, 100, Geometry(100, 100, 0, 0, 100, 100)).round(2).tolist()
    [[0.0, 0.0, 0.5, 0.5]]
    """
    moved = boxes.astype(np.float64) * [width, height, width, height]
    moved = _clip(moved, height, width)
    moved *= max(geometry.height, geometry.width) / max(height, width)
    moved -= [geometry.left, geometry.top, geometry.left, geometry.top]
    moved = _clip(moved, geometry.crop_height, geometry.crop_width)
    if geometry.flip:
        moved[:, [0, 2]] = geometry.crop_width - 1 - moved[:, [2, 0]]
    moved = _clip(moved, geometry.crop_height, geometry.crop_width)
    size = [geometry.crop_width, geometry.crop_height, geometry.crop_width, geometry.crop_height]
    return (moved / size).astype(np.float32)


def _clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    boxes[:, [0, 2]] = boxes[:, [0, 2]].clip(0.0, width - 1.0)
    boxes[:, [1, 3]] = boxes[:, [1, 3]].clip(0.0, height - 1.0)
    return boxes
