"""Decoding with PyAV: one thread, no frame decoded that is not needed, only wanted frames converted.

The frames are bit for bit those of decoding everything in order:

- decoding starts at the last instantaneous refresh (IDR) before a wanted frame: nothing refers across it;
- H.264 frames that no other frame refers to are dropped unless wanted (``skip_frame = NONREF``);
- it stops after the last packet that is needed and drains what the decoder holds back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ClipError
from ...extras import require
from .index import MAX_PIXELS, Index


def read(index: Index, wanted: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (i, stored picture as uint8 RGB) for the wanted frames, which are ascending and distinct."""
    from av.video.reformatter import VideoReformatter

    convert = VideoReformatter().reformat
    for i, frame in frames(index, wanted):
        try:
            # threads=1: the default starts a pool per clip, which is slower and does not survive a fork
            plane = convert(frame, format="rgb24", threads=1).planes[0]
        except OSError as error:
            why = f"{frame.format.name}: {error.strerror or error}"
            raise ClipError(f"{index.name}: its colours cannot be converted to RGB ({why})") from error
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(index.height, plane.line_size)
        yield i, rows[:, : 3 * index.width].reshape(index.height, index.width, 3)


def frames(index: Index, wanted: Iterable[int]) -> Iterator[tuple[int, Any]]:
    """Yield (i, decoded frame) for the wanted frames; a frame that cannot be had exactly is a ``ClipError``."""
    missing = set(wanted)
    try:
        for i, frame in _decoded(index, missing, lean=index.codec.name == "h264"):
            missing.discard(i)
            yield i, frame
    except _Damaged:
        pass  # once more without leaving anything out, so that skipping never makes a good clip bad
    if missing:
        try:
            for i, frame in _decoded(index, missing, lean=False):
                missing.discard(i)
                yield i, frame
        except _Damaged as damage:
            raise ClipError(
                f"{index.name}: frame {min(missing)} cannot be decoded, the clip is damaged ({damage})"
            ) from damage
    if missing:
        raise ClipError(f"{index.name}: the decoder gives no frame {min(missing)}; the clip is damaged")


def settled(index: Index) -> Index:
    """The index with the frames that really come out, found by decoding everything where packets may not tell.

    For H.264 that begins with a key frame the packets do tell; other codecs drop or hide some of them.
    """
    first = index.packets[0]
    if index.codec.name == "h264" and first.is_keyframe and first.pts <= index.times[0]:
        return index
    number = {time: i for i, time in enumerate(index.times)}
    try:
        seen = [i for i, _ in _decoded(index, set(number.values()), lean=False)]
    except _Damaged as damage:
        raise ClipError(f"{index.name}: cannot be decoded, the clip is damaged ({damage})") from damage
    if not seen:
        raise ClipError(f"{index.name}: shows no frames")
    return replace(index, times=tuple(index.times[i] for i in sorted(seen)))


class _Damaged(Exception):
    """The decoder met data that cannot be right."""


def _decoded(index: Index, wanted: set[int], *, lean: bool) -> Iterator[tuple[int, Any]]:
    av = require("av", "reading clips")
    place = index.place
    number = {index.times[i]: i for i in wanted}
    needed = sorted(place[time] for time in number)
    context = av.CodecContext.create(index.codec, "r")
    context.extradata = index.extradata
    context.width, context.height = index.width, index.height
    context.thread_count = 1
    context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
    try:
        for first, last in _runs(index, needed) if lean else [(0, needed[-1])]:
            for packet in index.packets[first : last + 1]:
                if lean:
                    context.skip_frame = "DEFAULT" if packet.pts in number else "NONREF"
                yield from _chosen(index, context.decode(packet), number)
            yield from _chosen(index, context.decode(None), number)
            context.flush_buffers()
    except av.error.FFmpegError as error:
        raise _Damaged(error.strerror or str(error)) from error


def _chosen(index: Index, decoded: list[Any], number: dict[int, int]) -> Iterator[tuple[int, Any]]:
    for frame in decoded:
        i = number.get(frame.pts)
        if i is None:
            continue
        if frame.is_corrupt:
            raise _Damaged("a frame it builds on is missing")
        if (frame.width, frame.height) != (index.width, index.height):
            raise ClipError(
                f"{index.name}: frame {i} is {frame.width}×{frame.height}, the clip {index.width}×{index.height}"
            )
        yield i, frame


def _runs(index: Index, needed: list[int]) -> list[tuple[int, int]]:
    """(first, last) packets to decode: from an IDR to the last needed packet before the next one."""
    starts = [0, *refreshes(index)]
    runs: dict[int, int] = {}
    k = 0
    for at in needed:
        while k + 1 < len(starts) and starts[k + 1] <= at:
            k += 1
        runs[starts[k]] = at
    return list(runs.items())


def refreshes(index: Index) -> list[int]:
    """Packets after the first where decoding may start: H.264 IDR pictures, parameter sets in the header."""
    header = index.extradata or b""
    if index.codec_tag != "avc1" or len(header) < 7 or header[0] != 1:
        return []
    prefix = (header[4] & 3) + 1
    found = []
    for at, packet in enumerate(index.packets):
        if at and packet.is_keyframe:
            kinds = _nal_kinds(memoryview(packet), prefix)
            if kinds & {7, 8}:
                return []  # parameter sets on the way: what was skipped might matter
            if 5 in kinds:
                found.append(at)
    return found


def _nal_kinds(data: memoryview, prefix: int) -> set[int]:
    """Types of the NAL units in a packet, up to and with the first picture data."""
    kinds: set[int] = set()
    at = 0
    while at + prefix < len(data):
        size = int.from_bytes(data[at : at + prefix], "big")
        kinds.add(data[at + prefix] & 31)
        if kinds & {1, 5}:
            break
        at += prefix + size
    return kinds
