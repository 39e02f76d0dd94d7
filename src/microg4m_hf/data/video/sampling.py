"""Sampling plans: which frames of a clip to read, as arrays of indices. Pure functions, no video involved."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ClipError

Indices = NDArray[np.int64]


def uniform(n_frames: int, count: int) -> Indices:
    """``count`` frames spread evenly from the first to the last; short clips repeat frames.

    The positions are ``numpy.linspace(0, n_frames - 1, count).round()``; one frame alone is the middle one.

    >>> uniform(90, 8).tolist()
    [0, 13, 25, 38, 51, 64, 76, 89]
    >>> uniform(3, 5).tolist()
    [0, 0, 1, 2, 2]
    """
    n, count = _whole(n_frames, "n_frames"), _whole(count, "count")
    if count == 1:
        return np.array([(n - 1) // 2], dtype=np.int64)
    return np.linspace(0, n - 1, count).round().astype(np.int64)


def window(n_frames: int, centre: int, length: int, stride: int = 1, *, one_based: bool = False) -> Indices:
    """``length`` frames with step ``stride`` around a key frame, clamped to the clip (border frames repeat).

    With ``half = length * stride // 2`` the positions are ``range(centre - half, centre + half, stride)``, each
    moved into ``[0, n_frames - 1]``, as the published models were fed; a centre past the end is clamped too.
    ``length`` counts the frames that come out; the window spans ``length * stride`` frames of the clip.

    The release numbers frames from 1. The published code used that number as an index that starts at 0, so its
    windows lie one frame late: ``one_based=False`` takes ``centre`` as the index it is (give the released number
    for the paper's windows), ``one_based=True`` takes it as a released number and centres on that very frame.

    >>> window(90, 45, 8, 8).tolist()
    [13, 21, 29, 37, 45, 53, 61, 69]
    >>> window(90, 90, 4, 16).tolist()                  # the paper's reading of frame 90: clamped
    [58, 74, 89, 89]
    >>> window(90, 90, 4, 16, one_based=True).tolist()  # centred on the last frame
    [57, 73, 89, 89]
    """
    n, length, stride = _whole(n_frames, "n_frames"), _whole(length, "length"), _whole(stride, "stride")
    middle = _integer(centre, "centre") - bool(one_based)
    if middle < 0:
        start = "1: the release counts from 1" if one_based else "0"
        raise ClipError(f"the key frame {centre} cannot be the centre of a window; the first one is {start}")
    half = length * stride // 2
    # The same as the range, but an odd length with stride 1 does not lose its last frame.
    positions = middle - half + stride * np.arange(length, dtype=np.int64)
    return np.clip(positions, 0, n - 1)


def every(n_frames: int) -> Indices:
    """All frames in order.

    >>> every(4).tolist()
    [0, 1, 2, 3]
    """
    return np.arange(_whole(n_frames, "n_frames"), dtype=np.int64)


def _whole(value: Any, name: str) -> int:
    number = _integer(value, name)
    if number < 1:
        raise ClipError(f"{name} is {number}; a plan needs at least 1")
    return number


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
