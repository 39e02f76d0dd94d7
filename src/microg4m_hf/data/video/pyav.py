"""Decode with PyAV in one thread: decode only the packets that are needed, convert only the wanted frames.

The result is bit-equal to decoding everything in order:

- decoding starts at the last IDR picture before a wanted frame, as no later frame refers to an earlier one;
- H.264 frames that no other frame refers to are dropped unless wanted (``skip_frame = NONREF``);
- decoding stops after the last packet that is needed, and the decoder is drained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ClipError
from ...extras import require
from .index import MAX_PIXELS, FrameIndex

Part = tuple[int, int, int, int]  # of a frame: top, left, bottom and right


def decode_rgb(index: FrameIndex, wanted: list[int], part: Part | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (i, stored frame as uint8 RGB) for the wanted frames, which are ascending and distinct.

    With ``part``, yield only that part of each frame. An array is valid until the next one is yielded.
    """
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    cropper: Cropper | None = None
    for i, frame in decode_frames(index, wanted):
        if part is None:
            yield i, to_rgb(index.name, frame, reformatter)
        elif not Cropper.fits(frame):
            top, left, bottom, right = part
            yield i, to_rgb(index.name, frame, reformatter)[top:bottom, left:right]
        else:
            if cropper is None or cropper.format != frame.format.name:
                cropper = Cropper(index.name, frame.format.name, part)
            planes = [plane_pixels(plane) for plane in frame.planes]
            yield i, cropper.rgb(planes, frame.colorspace, frame.color_range, reformatter)


class Cropper:
    """Converts a part of progressive 4:2:0 frames of even size: FFmpeg converts each of their pixels by itself."""

    def __init__(self, name: str, form: str, part: Part) -> None:
        import av

        self.name, self.format = name, form
        top, left, bottom, right = part
        # Chroma samples cover two rows and two columns.
        self._top, self._left = top & ~1, left & ~1
        self._height, self._width = (bottom - self._top + 1) & ~1, (right - self._left + 1) & ~1
        self._inside = slice(top - self._top, bottom - self._top), slice(left - self._left, right - self._left)
        self._frame = av.VideoFrame(self._width, self._height, form)
        self._planes = [plane_pixels(plane)[:, : plane.width] for plane in self._frame.planes]

    @staticmethod
    def fits(frame: Any) -> bool:
        """Whether a frame is of this kind."""
        planar = frame.format.name in ("yuv420p", "yuvj420p")
        return planar and not (frame.height | frame.width) & 1 and not frame.interlaced_frame

    def rgb(self, planes: Sequence[np.ndarray], colorspace: int, color_range: int, reformatter: Any) -> np.ndarray:
        """Return the part of a frame, given as its planes, as uint8 RGB; valid until the next one."""
        self._frame.colorspace, self._frame.color_range = colorspace, color_range
        for target, plane, step in zip(self._planes, planes, (1, 2, 2), strict=True):
            top, left = self._top // step, self._left // step
            target[:] = plane[top : top + self._height // step, left : left + self._width // step]
        return to_rgb(self.name, self._frame, reformatter)[self._inside]


def plane_pixels(plane: Any) -> np.ndarray:
    """Return the rows of a plane of bytes, with the padding at their ends."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)


def to_rgb(name: str, frame: Any, reformatter: Any) -> np.ndarray:
    """Convert a frame of the clip ``name`` to uint8 RGB of shape (height, width, 3)."""
    try:
        # threads=1: the default starts a pool per clip, which is slower and does not survive a fork
        plane = reformatter.reformat(frame, format="rgb24", threads=1).planes[0]
    except OSError as error:
        reason = f"{frame.format.name}: {error.strerror or error}"
        raise ClipError(f"{name}: its colors cannot be converted to RGB ({reason}); re-encode it as H.264") from error
    return plane_pixels(plane)[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)


def decode_frames(index: FrameIndex, wanted: Iterable[int]) -> Iterator[tuple[int, Any]]:
    """Yield (i, decoded frame) for the wanted frames; raise ``ClipError`` if one cannot be decoded exactly."""
    missing = set(wanted)
    damage: _DamagedError | None = None
    # The second attempt skips nothing, so that skipping never makes a good clip fail.
    for skip in (True, False) if index.codec.name == "h264" else (False,):
        try:
            for i, frame in _decode(index, missing, skip=skip):
                missing.discard(i)
                yield i, frame
            damage = None
        except _DamagedError as error:
            damage = error
        if not missing:
            return
    reason = f"cannot be decoded, the clip is damaged ({damage})" if damage else "is not in the decoder's output"
    raise ClipError.damaged(index.name, f"frame {min(missing)} {reason}") from damage


def drop_undecodable_frames(index: FrameIndex) -> FrameIndex:
    """Return the index of the frames that the decoder really returns.

    For H.264 that begins with a key frame these are all packets. Other codecs drop or hide some of them, so
    everything is decoded once.
    """
    first = index.packets[0]
    if index.codec.name == "h264" and first.is_keyframe and first.pts <= index.pts[0]:
        return index
    try:
        decoded = sorted(i for i, _ in _decode(index, set(range(len(index.pts))), skip=False))
    except _DamagedError as error:
        raise ClipError.damaged(index.name, f"cannot be decoded, the clip is damaged ({error})") from error
    if not decoded:
        raise ClipError.damaged(index.name, "shows no frames")
    return replace(index, pts=tuple(index.pts[i] for i in decoded))


def find_idr_packets(index: FrameIndex) -> list[int]:
    """Return the packets after the first where decoding may start: H.264 IDR, parameter sets in the header."""
    header = index.extradata or b""
    if index.codec_tag != "avc1" or len(header) < 7 or header[0] != 1:
        return []
    prefix = (header[4] & 3) + 1
    found = []
    for at, packet in enumerate(index.packets):
        if at and packet.is_keyframe:
            kinds = _nal_kinds(memoryview(packet), prefix)
            if kinds & {7, 8}:
                return []  # parameter sets inside the stream: a skipped one might matter
            if 5 in kinds:
                found.append(at)
    return found


class _DamagedError(Exception):
    """The decoder found invalid data."""


def _decode(index: FrameIndex, wanted: set[int], *, skip: bool) -> Iterator[tuple[int, Any]]:
    av = require("av", "reading clips")
    frame_of_pts = {index.pts[i]: i for i in wanted}
    needed = [at for at, packet in enumerate(index.packets) if packet.pts in frame_of_pts]
    context = av.CodecContext.create(index.codec, "r")
    context.extradata = index.extradata
    context.width, context.height = index.width, index.height
    context.thread_count = 1
    context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
    try:
        for first, last in _packet_ranges(index, needed) if skip else [(0, needed[-1])]:
            for packet in index.packets[first : last + 1]:
                if skip:
                    context.skip_frame = "DEFAULT" if packet.pts in frame_of_pts else "NONREF"
                yield from _select(index, context.decode(packet), frame_of_pts)
            yield from _select(index, context.decode(None), frame_of_pts)
            context.flush_buffers()
    except av.error.FFmpegError as error:
        raise _DamagedError(error.strerror or str(error)) from error


def _select(index: FrameIndex, decoded: list[Any], frame_of_pts: dict[int, int]) -> Iterator[tuple[int, Any]]:
    for frame in decoded:
        i = frame_of_pts.get(frame.pts)
        if i is None:
            continue
        if frame.is_corrupt:
            raise _DamagedError("a frame it refers to is missing")
        if (frame.width, frame.height) != (index.width, index.height):
            raise ClipError(
                f"{index.name}: frame {i} is {frame.width}×{frame.height}, the clip "
                f"{index.width}×{index.height}; re-encode it in one size"
            )
        yield i, frame


def _packet_ranges(index: FrameIndex, needed: list[int]) -> list[tuple[int, int]]:
    """Return (first, last) packets to decode: from an IDR to the last needed packet before the next one."""
    starts = [0, *find_idr_packets(index)]
    ranges: dict[int, int] = {}
    k = 0
    for at in needed:
        while k + 1 < len(starts) and starts[k + 1] <= at:
            k += 1
        ranges[starts[k]] = at
    return list(ranges.items())


def _nal_kinds(data: memoryview, prefix: int) -> set[int]:
    """Return the types of the NAL units in a packet, up to the first that holds picture data."""
    kinds: set[int] = set()
    at = 0
    while at + prefix < len(data):
        size = int.from_bytes(data[at : at + prefix], "big")
        kinds.add(data[at + prefix] & 31)
        if kinds & {1, 5}:
            break
        at += prefix + size
    return kinds
