"""Decode with decord or torchcodec, and refuse the clips for which they return other frames than PyAV.

Both are slower than the PyAV path. They are here for comparison and for projects that have standardized on them. Every
frame is compared with that of PyAV, pixel by pixel.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import MissingExtraError
from ...extras import is_installed, require
from . import pyav
from .decord_process import DecordError, read_with_decord
from .index import FrameIndex
from .mp4 import IDENTITY
from .source import ClipSource

# Color matrices that all decoders convert to the same RGB: unspecified, BT.709, BT.470BG, SMPTE 170M.
_COLORSPACES = {1, 2, 5, 6}


class UnsupportedClipError(Exception):
    """The decoder would return other frames than PyAV, or none. The message completes "not right for ..."."""


def load_decord() -> Any:
    """Import decord without the messages that it prints about damaged files."""
    decord = require("decord", "backend='decord'")
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def read_decord(source: ClipSource, index: FrameIndex, wanted: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (i, stored frame) of the wanted frames, ascending and distinct (decord is wrong in another order)."""
    expected = _decode_supported(index, wanted)
    try:
        count, times, frames = read_with_decord(source, wanted)
    except DecordError as error:
        raise UnsupportedClipError("a clip it fails on") from error
    _check_output(index, wanted, count, times, frames, expected)
    yield from zip(wanted, frames, strict=True)


@functools.cache
def load_torchcodec() -> Any:
    """Import ``torchcodec.decoders``, which needs FFmpeg's shared libraries that pip does not install."""
    if not is_installed("torchcodec"):
        require("torchcodec", "backend='torchcodec'")
    try:
        import torchcodec.decoders as decoders

        try:
            decoders.VideoDecoder(b"no video")  # 0.17 loads its library at the first use, older ones at import
        except (RuntimeError, ValueError) as error:
            if "libtorchcodec" in str(error):
                raise
    except (ImportError, RuntimeError, OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise MissingExtraError(
            f"torchcodec is installed but cannot be loaded ({first}); it needs FFmpeg's shared libraries "
            "(Debian: apt-get install ffmpeg) and the torch version of its release; or use backend='pyav'"
        ) from error
    return decoders


def read_torchcodec(source: ClipSource, index: FrameIndex, wanted: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (i, stored frame) of the wanted frames."""
    decoders = load_torchcodec()
    expected = _decode_supported(index, wanted)
    try:
        decoder = decoders.VideoDecoder(
            source.data if source.data is not None else str(source.path),
            seek_mode="exact",  # the approximate mode is wrong for clips of variable rate
            num_ffmpeg_threads=1,
            dimension_order="NHWC",
        )
        batch = decoder.get_frames_at(wanted)
    except (RuntimeError, ValueError, IndexError) as error:
        raise UnsupportedClipError("a clip it fails on") from error
    frames = batch.data.numpy()
    _check_output(index, wanted, len(decoder), batch.pts_seconds.numpy(), frames, expected)
    yield from zip(wanted, frames, strict=True)


def _decode_supported(index: FrameIndex, wanted: list[int]) -> list[np.ndarray]:
    """Return the wanted frames as PyAV decodes them, to compare with.

    Neither of the other decoders reports damaged data, and a few flipped bits let them return other frames.

    Raises:
        UnsupportedClipError: decord or torchcodec get clips of this kind wrong.
        ClipError: The clip is damaged.
    """
    if index.codec.name != "h264":
        raise UnsupportedClipError(f"{index.codec.name} streams")
    if index.matrix != IDENTITY:
        raise UnsupportedClipError("rotated frames")
    if index.has_hidden_frames:
        raise UnsupportedClipError("frames hidden by an edit list")
    if sum(packet.is_keyframe for packet in index.packets[1:]) != len(pyav.find_idr_packets(index)):
        raise UnsupportedClipError("open groups of pictures")
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    expected = {}
    for i, frame in pyav.decode_frames(index, wanted):
        if frame.format.name not in {"yuv420p", "yuvj420p"}:
            raise UnsupportedClipError(f"{frame.format.name} frames")
        if frame.interlaced_frame:
            raise UnsupportedClipError("interlaced frames")
        if frame.colorspace not in _COLORSPACES:
            raise UnsupportedClipError(f"rare color matrices ({frame.colorspace})")
        expected[i] = pyav.to_rgb(index.name, frame, reformatter)
    return [expected[i] for i in wanted]


def _check_output(
    index: FrameIndex, wanted: list[int], count: int, times: np.ndarray, frames: np.ndarray, expected: list[np.ndarray]
) -> None:
    """Raise ``UnsupportedClipError`` when the decoder returned other frames than PyAV."""
    if count != len(index.pts):
        raise UnsupportedClipError("another number of frames")
    pts = [float(index.pts[i] * index.time_base) for i in wanted]
    if not np.allclose(times, pts, atol=1e-3, rtol=0):
        raise UnsupportedClipError("frames of other times")
    if frames.shape != (len(wanted), index.height, index.width, 3):
        raise UnsupportedClipError("frames of another size")
    if not all(np.array_equal(frame, reference) for frame, reference in zip(frames, expected, strict=True)):
        raise UnsupportedClipError("frames with other pixels")
