"""Choose which frames of a clip to read. Pure functions from a frame count to an array of indices."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ClipError

Indices = NDArray[np.int64]


def uniform(n_frames: int, count: int) -> Indices:
    """Return ``count`` frames spread evenly from the first to the last; short clips repeat frames.

    The indices are ``numpy.linspace(0, n_frames - 1, count).round()``; a single frame is the middle one.

    Args:
        n_frames: Frames of the clip.
        count: Frames to return.

    Raises:
        ClipError: One of the two is less than 1.

    Example:
        >>> uniform(90, 8).tolist()
        [0, 13, 25, 38, 51, 64, 76, 89]
        >>> uniform(3, 5).tolist()
        [0, 0, 1, 2, 2]
    """
    n, count = _positive_int(n_frames, "n_frames"), _positive_int(count, "count")
    if count == 1:
        return np.array([(n - 1) // 2], dtype=np.int64)
    return np.linspace(0, n - 1, count).round().astype(np.int64)


def window(n_frames: int, centre: int, length: int, stride: int = 1, *, one_based: bool = False) -> Indices:
    """Return ``length`` frames with step ``stride`` around a key frame, clamped to the clip (border frames repeat).

    With ``half = length * stride // 2`` the indices are ``range(centre - half, centre + half, stride)``, each clamped
    to ``[0, n_frames - 1]``, as in the published code; a center past the end is clamped too.

    Args:
        n_frames: Frames of the clip.
        centre: The key frame.
        length: Frames to return; they span ``length * stride`` frames of the clip.
        stride: Step between them.
        one_based: Whether ``centre`` counts from 1, as the release does. The published code used the released number
            as an index that starts at 0, so its windows lie one frame late: pass the released number with
            ``one_based=False`` for the paper's windows, with ``one_based=True`` for windows around the key frame.

    Raises:
        ClipError: A number is less than 1, or ``centre`` lies in front of the clip.

    Example:
        >>> window(90, 45, 8, 8).tolist()
        [13, 21, 29, 37, 45, 53, 61, 69]
        >>> window(90, 90, 4, 16).tolist()                  # frame 90 in the paper's reading: clamped
        [58, 74, 89, 89]
        >>> window(90, 90, 4, 16, one_based=True).tolist()  # around the last frame
        [57, 73, 89, 89]
    """
    n, length = _positive_int(n_frames, "n_frames"), _positive_int(length, "length")
    stride = _positive_int(stride, "stride")
    center = as_int(centre, "centre") - bool(one_based)
    if center < 0:
        first = "1 (the release counts from 1)" if one_based else "0"
        raise ClipError(f"centre={centre} lies in front of the clip; use {first} or more")
    half = length * stride // 2
    # Equal to the range, except that an odd length with stride 1 keeps its last frame.
    indices = center - half + stride * np.arange(length, dtype=np.int64)
    return np.clip(indices, 0, n - 1)


def every(n_frames: int) -> Indices:
    """Return all frames in order.

    Args:
        n_frames: Frames of the clip.

    Raises:
        ClipError: ``n_frames`` is less than 1.

    Example:
        >>> every(4).tolist()
        [0, 1, 2, 3]
    """
    return np.arange(_positive_int(n_frames, "n_frames"), dtype=np.int64)


def _positive_int(value: Any, name: str) -> int:
    number = as_int(value, name)
    if number < 1:
        raise ClipError(f"{name}={number} selects no frames; give at least 1")
    return number


def as_int(value: Any, name: str) -> int:
    """Return a whole number as an int, also a numpy one; raise ``TypeError`` for anything else."""
    try:
        if not isinstance(value, bool | np.bool_):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be a whole number, not {value!r}")
