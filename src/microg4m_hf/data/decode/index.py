"""The list of frames a clip really shows, made by reading its packets and decoding none of them (where that is safe).

Frame ``i`` is the i-th frame that a player shows, in order of presentation time. Frames that an edit list hides
(the rest of a group of pictures before a cut made without decoding) do not count; header counts are not believed.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ...errors import ClipError
from ...extras import require
from .matroska import is_matroska, must_be_whole
from .mp4 import MAX_FRAMES, UPRIGHT, Matrix, Track, is_mp4, read_mp4
from .source import Source
from .sps import picture_size
from .turn import turn_of

MAX_PIXELS = 7680 * 4320
_CODECS = {"h264", "hevc", "mpeg4", "vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9"}


@dataclass(frozen=True)
class Index:
    """Everything that decoding needs; holds no open file, so it survives forks and threads."""

    name: str
    packets: tuple[Any, ...]  # in decoding order
    times: tuple[int, ...]  # of the frames shown, ascending, in units of time_base
    time_base: Fraction
    rate: Fraction | None  # what the header says
    codec: Any
    codec_tag: str
    extradata: bytes | None
    width: int  # as stored; ``turn`` says how it is shown
    height: int
    turn: Matrix
    hidden: bool  # the file holds frames that are not shown

    @property
    def place(self) -> dict[int, int]:
        """Presentation time -> position of its packet in decoding order."""
        return {packet.pts: at for at, packet in enumerate(self.packets)}


def read_index(source: Source) -> Index:
    """Open, check and list a clip; every way in which it can be unfit is a ``ClipError`` that names it."""
    av = require("av", "reading clips")
    with source.open() as file:
        mp4 = is_mp4(file)
        track = read_mp4(file, source.name) if mp4 else None
        if not mp4:
            if not is_matroska(file):
                raise ClipError(f"{source.name}: is no video file that clips come in (mp4, mov, mkv, webm)")
            must_be_whole(file, source.name)
    if track is not None:
        check_size(source.name, track.width, track.height)
    # A "file:" address and the plain file protocol: nothing inside the file can make FFmpeg open anything else.
    given = io.BytesIO(source.data) if source.data is not None else f"file:{source.path}"
    options = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    if track is not None and picture_size(track.avcc) == (track.width, track.height):
        options["skip_frame"] = "all"  # the size is known: FFmpeg need not decode a frame to find it out
    try:
        with av.open(
            given, format="mov" if mp4 else "matroska", options=options, metadata_errors="replace"
        ) as container:
            return _listed(av, container, source.name, track)
    except av.error.FFmpegError as error:
        raise ClipError(f"{source.name}: cannot be read as a video ({_reason(error)})") from error


def _listed(av: Any, container: Any, name: str, track: Track | None) -> Index:
    # A cover picture counts as a stream, too, and may come first.
    cover = av.stream.Disposition.attached_pic  # a number from PyAV 18 on, before that only a flag
    videos = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not videos:
        raise ClipError(f"{name}: holds no video track")
    stream = videos[0]
    context = stream.codec_context
    if context is None or context.codec.name not in _CODECS:
        what = (track.codec if track else "") or (context.codec.name if context else "unknown")
        raise ClipError(f"{name}: is coded as {what!r}, which is not decoded here; re-encode it as H.264")
    check_size(name, context.width, context.height)
    listed = len(stream.index_entries) if track else 0
    packets: list[Any] = []
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if packet.is_corrupt:
            raise ClipError(f"{name}: is cut short or damaged within its frame {len(packets)}")
        packets.append(packet)
        if len(packets) > MAX_FRAMES:
            raise ClipError(f"{name}: has more than {MAX_FRAMES:,} frames; a clip has a few hundred")
    if len(packets) < listed:
        raise ClipError(f"{name}: is cut short: its index lists {listed} frames, {len(packets)} are in the file")
    times = sorted(packet.pts for packet in packets if not packet.is_discard and packet.pts is not None)
    if not times:
        raise ClipError(f"{name}: shows no frames")
    if any(packet.pts is None for packet in packets) or len({packet.pts for packet in packets}) < len(packets):
        raise ClipError(f"{name}: two of its frames claim the same time or none; re-encode it")
    return Index(
        name=name,
        packets=tuple(packets),
        times=tuple(times),
        time_base=stream.time_base,
        rate=stream.average_rate,
        codec=context.codec,
        codec_tag=track.codec if track else "",
        extradata=context.extradata,
        width=context.width,
        height=context.height,
        turn=turn_of(track.matrix if track else _matrix(context, packets), name),
        hidden=len(times) < len(packets),
    )


def _matrix(context: Any, packets: list[Any]) -> Matrix:
    """The display matrix of a file that is no mp4: FFmpeg hands it out with the first decoded frame only."""
    context.thread_count = 1
    for packet in (*packets, None):
        for frame in context.decode(packet):
            for data in frame.side_data:
                if data.type.name == "DISPLAYMATRIX":
                    a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
                    return (a, b, c, d)
            return UPRIGHT
    return UPRIGHT


def check_size(name: str, width: int, height: int) -> None:
    """Refuse pictures that no clip has."""
    if width * height > MAX_PIXELS or max(width, height) > 16_384:
        raise ClipError(f"{name}: claims pictures of {width}×{height}; the limit is 7680×4320")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
