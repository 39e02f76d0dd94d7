"""Infer width and height of the clips from the annotations, without opening a video file.

``bounding_boxes.csv`` is in pixels; the key-frame files contain the same boxes divided by the frame size and rounded
to three decimals. So every key frame bounds the size of its clip: a pixel coordinate ``p`` that became ``n`` implies
``p / (n + 0.0005) <= size <= p / (n - 0.0005)``. The bounds of all coordinates, persons and key frames of a clip are
combined, then those of all clips of a source (one film has one size). The size is the even number within the bounds,
as H.264 frames in 4:2:0 have even sides; if several fit, the common sizes of 480p come first.

Pixels may have been rounded too: if no size fits, half a pixel and then a whole one is allowed. If the clips of a
source disagree, each clip's own bounds decide. A clip whose bounds contain too many sizes, or none, has the size in the
header of its file; without a file, the size of the other clips of its source, if they agree; otherwise 854x480 is
assumed, which is counted and reported in a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

ASSUMED = (854, 480)
COMMON = ((854, 640, 720, 848, 852, 856), (480,))
_HALF_UNIT = 0.0005 + 1e-9
_PIXEL_ROUNDING = (0.01, 0.5, 1.0)
UNKNOWN, KEY_FRAMES, SOURCE, HEADER, ASSUMPTION = range(5)
HOW = ("", "key frames", "source", "header", "assumed")


@dataclass(frozen=True)
class FrameSizes:
    """Width and height per clip, and how each was found (an index into ``HOW``)."""

    size: np.ndarray  # (clips, 2)
    how: np.ndarray

    def counts(self) -> dict[str, int]:
        return {f"frame_sizes_from_{HOW[how].replace(' ', '_')}": int((self.how == how).sum()) for how in range(1, 5)}


def infer_frame_sizes(
    clip: np.ndarray,
    pixels: np.ndarray,
    normalized: np.ndarray,
    source_of_clip: np.ndarray,
    needed: np.ndarray,
    header: Callable[[int], tuple[int, int] | None],
) -> FrameSizes:
    """Return the sizes of the ``needed`` clips, from key boxes in pixels and the same boxes normalized.

    Example:
        >>> box = np.array([[85.4, 48.0, 427.0, 470.4]])
        >>> where = np.array([0])
        >>> infer_frame_sizes(where, box, np.array([[0.1, 0.1, 0.5, 0.98]]), where, where == 0, lambda clip: None).size
        array([[854, 480]])
    """
    clips = len(source_of_clip)
    size = np.zeros((clips, 2), dtype=np.int64)
    how = np.zeros(clips, dtype=np.int64)
    has_key_frame = np.zeros(clips, dtype=bool)
    has_key_frame[clip] = True
    for by_source, rounding in product((True, False), _PIXEL_ROUNDING):
        if (how[needed] != UNKNOWN).all():
            break
        low, high = _bounds(clip, pixels, normalized, clips, rounding)
        found = _pick(*_merge_bounds(low, high, source_of_clip))[source_of_clip] if by_source else _pick(low, high)
        new = (how == UNKNOWN) & (found > 0).all(axis=1)
        size[new] = found[new]
        how[new] = np.where(has_key_frame[new], KEY_FRAMES, SOURCE)
    of_others = {
        int(source): size[(source_of_clip == source) & (how != UNKNOWN)]
        for source in np.unique(source_of_clip[needed & (how == UNKNOWN)])
    }
    for place in np.flatnonzero(needed & (how == UNKNOWN)):
        others = of_others[int(source_of_clip[place])]
        found_in_header = header(int(place))
        if found_in_header:
            size[place], how[place] = found_in_header, HEADER
        elif len(others) and (others == others[0]).all():
            size[place], how[place] = others[0], SOURCE
        else:
            size[place], how[place] = ASSUMED, ASSUMPTION
    how[~needed] = UNKNOWN
    return FrameSizes(size, how)


def _bounds(
    clip: np.ndarray, pixels: np.ndarray, normalized: np.ndarray, clips: int, rounding: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest width and height of every clip, two arrays (clips, 2)."""
    low, high = np.zeros((clips, 2)), np.full((clips, 2), np.inf)
    for corner in (0, 2):
        p, n = pixels[:, corner : corner + 2], normalized[:, corner : corner + 2]
        least = np.maximum(p - rounding, 0) / (n + _HALF_UNIT)
        # 1.0 may be a box that was clipped to the frame: its pixels may end one past the border.
        least = np.where(n >= 1, np.minimum(least, p - 1), least)
        with np.errstate(divide="ignore"):
            most = np.where(n > _HALF_UNIT, (p + rounding) / np.maximum(n - _HALF_UNIT, 1e-12), np.inf)
        np.maximum.at(low, clip, least)
        np.minimum.at(high, clip, most)
    return low, high


def _merge_bounds(low: np.ndarray, high: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    groups = int(group.max(initial=-1)) + 1
    lowest, highest = np.zeros((groups, 2)), np.full((groups, 2), np.inf)
    np.maximum.at(lowest, group, low)
    np.minimum.at(highest, group, high)
    return lowest, highest


def _pick(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the size within the bounds, 0 if there is none or if the bounds are too wide."""
    is_narrow = (low <= high) & (high <= low * 1.1)
    middle = np.where(is_narrow, (low + high) / 2, 0)
    even = 2 * np.rint(middle / 2)
    size = np.where(is_narrow & (even >= low) & (even <= high), even, 0)
    for axis, common in enumerate(COMMON):
        for side in reversed(common):
            fits = is_narrow[:, axis] & (low[:, axis] <= side) & (side <= high[:, axis])
            size[fits, axis] = side
    return size.astype(np.int64)
