"""The list of frames a clip really shows, made by reading its packets and decoding none of them (where that is safe).

Frame ``i`` is the i-th frame that a player shows, in order of presentation time. Frames that an edit list hides
(the rest of a group of pictures before a cut made without decoding) do not count; header counts are not believed.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

from ...errors import ClipError
from ...extras import require
from .h264 import picture_size
from .mp4 import MAX_FRAMES, UPRIGHT, Matrix, Track, is_mp4, read_mp4
from .source import Source

# Quarter turns and mirrors that a file asks for: phones store the sensor's picture and a matrix beside it.


def turn_of(matrix: Matrix, name: str) -> Matrix:
    """The matrix reduced to signs; a ``ClipError`` for anything but quarter turns and mirrors.

    >>> turn_of((0, 65536, -65536, 0), "clip.mp4")
    (0, 1, -1, 0)
    """
    a, b, c, d = matrix
    straight, crossed = a and d and not b and not c, b and c and not a and not d
    if not straight and not crossed:
        if not any(matrix):
            return UPRIGHT  # some writers leave the field empty
        raise ClipError(f"{name}: asks for more than quarter turns (display matrix {matrix}); re-encode it upright")
    one, two, three, four = ((value > 0) - (value < 0) for value in matrix)
    return (one, two, three, four)


def degrees(turn: Matrix) -> int:
    """Clockwise turn in degrees (0, 90, 180, 270); a mirror counts as the turn that is left without it.

    >>> degrees((0, 1, -1, 0)), degrees((-1, 0, 0, -1)), degrees((0, -1, 1, 0)), degrees((1, 0, 0, -1))
    (90, 180, 270, 0)
    """
    a, b, _, d = turn
    if a or d:
        return 180 if a < 0 and d < 0 else 0
    return 90 if b > 0 else 270


def shown(picture: Any, turn: Matrix) -> Any:
    """The stored picture (height, width, 3) as it is to be seen; a view, nothing is copied.

    A stored point (x, y) is shown at (a·x + c·y, b·x + d·y).
    """
    if turn == UPRIGHT:
        return picture
    a, b, c, d = turn
    if b:
        picture = picture.swapaxes(0, 1)
    across, down = (c, b) if b else (a, d)
    return picture[:: 1 if down > 0 else -1, :: 1 if across > 0 else -1]


# Whether a Matroska or WebM file is all there: its first two elements say how long it must be.

_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067


def is_matroska(file: BinaryIO) -> bool:
    """Whether the file begins like Matroska (EBML)."""
    file.seek(0)
    return file.read(4) == _HEADER.to_bytes(4, "big")


def must_be_whole(file: BinaryIO, name: str) -> None:
    """A ``ClipError`` when the file ends before its segment does; a size left open by a live writer passes."""
    end = file.seek(0, 2)
    file.seek(0)
    at = 0
    for expected in (_HEADER, _SEGMENT):
        file.seek(at)
        head = file.read(12)
        size, used = _length(head[4:])
        if int.from_bytes(head[:4], "big") != expected or not used:
            raise ClipError(f"{name}: its header is damaged or cut short")
        at += 4 + used
        if size is not None and at + size > end:
            raise ClipError(f"{name}: is cut short: it needs {at + size:,} bytes, the file has {end:,}")
        at += size or 0


def _length(data: bytes) -> tuple[int | None, int]:
    """An EBML length and the bytes it takes; None where it is left open, 0 bytes where it is none.

    >>> _length(bytes([0x84])), _length(bytes([0x40, 0x02])), _length(bytes([0xFF]))
    ((4, 1), (2, 2), (None, 1))
    """
    used = 9 - data[0].bit_length() if data and data[0] else 0
    if not 0 < used <= len(data):
        return None, 0
    value = int.from_bytes(data[:used], "big") & ((1 << (7 * used)) - 1)
    return (None if value == (1 << (7 * used)) - 1 else value), used


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
