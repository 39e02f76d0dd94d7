"""When a decoder other than PyAV may not be trusted with a clip."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import MissingExtraError
from ...extras import is_installed, require
from . import pyav
from .index import Index
from .mp4 import UPRIGHT
from .source import Source

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


# Decoding with decord. Slower than the PyAV path; there for comparison and for those who have standardised on it.


def load_decord() -> Any:
    """The package, without the noise it makes about every damaged file."""
    decord = require("decord", "backend='decord'")
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def read_decord(source: Source, index: Index, wanted: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (i, stored picture) of the wanted frames, ascending and distinct (in another order decord is wrong)."""
    decord = load_decord()
    must_suit(index, wanted)
    try:
        with source.open() as file:
            reader = decord.VideoReader(file, num_threads=1)
            if len(reader) != len(index.times):
                raise Unsuited("another number of frames")
            times = reader.get_frame_timestamp(wanted)[:, 0]
            batch = reader.get_batch(wanted).asnumpy()
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise Unsuited("a clip it fails on") from error
    must_agree(index, wanted, times, batch)
    yield from zip(wanted, batch, strict=True)


# Decoding with torchcodec, in its exact mode: the approximate one is wrong on clips of varying rate.


@functools.cache
def load_torchcodec() -> Any:
    """``torchcodec.decoders``; it needs FFmpeg's shared libraries, which pip does not bring."""
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
            "(Debian: apt-get install ffmpeg) and the torch that its release was built for; or use backend='pyav'"
        ) from error
    return decoders


def read_torchcodec(source: Source, index: Index, wanted: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (i, stored picture) of the wanted frames."""
    decoders = load_torchcodec()
    must_suit(index, wanted)
    try:
        decoder = decoders.VideoDecoder(
            source.data if source.data is not None else str(source.path),
            seek_mode="exact",
            num_ffmpeg_threads=1,
            dimension_order="NHWC",
        )
        if len(decoder) != len(index.times):
            raise Unsuited("another number of frames")
        batch = decoder.get_frames_at(wanted)
    except (RuntimeError, ValueError, IndexError) as error:
        raise Unsuited("a clip it fails on") from error
    pictures = batch.data.numpy()
    must_agree(index, wanted, batch.pts_seconds.numpy(), pictures)
    yield from zip(wanted, pictures, strict=True)
