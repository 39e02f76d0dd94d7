"""When a decoder other than PyAV may not be trusted with a clip."""

from __future__ import annotations

import numpy as np

from . import pyav
from .index import Index
from .mp4 import UPRIGHT

# Untagged, BT.709, BT.470BG, SMPTE 170M: the colour tags that all decoders convert to the same RGB.
_COLOURS = {1, 2, 5, 6}


class Unsuited(Exception):
    """This decoder would give other pixels than PyAV, or none."""


def must_suit(index: Index, wanted: list[int]) -> None:
    """Raise ``Unsuited`` for kinds of clips that decord or torchcodec get wrong, ``ClipError`` for damaged ones.

    Neither of them reports damaged data, so the wanted frames are decoded once by PyAV, which does.
    """
    if index.codec.name != "h264":
        raise Unsuited(f"{index.codec.name} streams")
    if index.turn != UPRIGHT:
        raise Unsuited("a picture stored turned")
    if index.hidden:
        raise Unsuited("frames hidden by an edit list")
    if sum(packet.is_keyframe for packet in index.packets[1:]) != len(pyav.refreshes(index)):
        raise Unsuited("open groups of pictures")
    for _, frame in pyav.frames(index, wanted):
        if frame.format.name not in {"yuv420p", "yuvj420p"}:
            raise Unsuited(f"{frame.format.name} pictures")
        if frame.interlaced_frame:
            raise Unsuited("interlaced pictures")
        if frame.colorspace not in _COLOURS:
            raise Unsuited(f"rare colours (matrix {frame.colorspace})")


def must_agree(index: Index, wanted: list[int], times: np.ndarray, pictures: np.ndarray) -> None:
    """Raise ``Unsuited`` when what a decoder gave has other times or another shape than the index."""
    expected = [float(index.times[i] * index.time_base) for i in wanted]
    if not np.allclose(times, expected, atol=1e-3, rtol=0):
        raise Unsuited("frames of other times")
    if pictures.shape != (len(wanted), index.height, index.width, 3):
        raise Unsuited("pictures of another size")
