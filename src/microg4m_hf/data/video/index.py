"""List the frames that a clip shows by reading its packets, without decoding them.

Frame ``i`` is the i-th frame that a player shows, in presentation order. Frames that an edit list hides (the rest of
a group of pictures in front of a cut made without decoding) do not count, and frame counts in the header are ignored.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

from ...errors import ClipError
from ...extras import require
from .h264 import parse_avcc_frame_size
from .mp4 import IDENTITY, MAX_FRAMES, Matrix, Track, is_mp4, parse_display_matrix, read_mp4
from .source import ClipSource

MAX_PIXELS = 7680 * 4320
_CODECS = {"h264", "hevc", "mpeg4", "vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9"}


@dataclass(frozen=True)
class FrameIndex:
    """Everything that decoding needs. It holds no open file, so it survives forks and threads."""

    name: str
    packets: tuple[Any, ...]  # in decoding order
    pts: tuple[int, ...]  # of the frames shown, ascending, in units of time_base
    time_base: Fraction
    header_fps: Fraction | None
    codec: Any
    codec_tag: str
    extradata: bytes | None
    width: int  # as stored, before rotation
    height: int
    matrix: Matrix  # the display matrix, reduced to signs
    has_hidden_frames: bool


def read_index(source: ClipSource) -> FrameIndex:
    """Open and check a clip, and list its frames.

    Raises:
        ClipError: The clip cannot be read; the message names the clip and the reason.
    """
    av = require("av", "reading clips")
    with source.open() as file:
        mp4 = is_mp4(file)
        track = read_mp4(file, source.name) if mp4 else None
        if not mp4:
            _check_matroska_complete(file, source.name)
    if track is not None:
        check_frame_size(source.name, track.width, track.height)
    # A "file:" address and the plain file protocol: nothing inside the file can make FFmpeg open anything else.
    target = io.BytesIO(source.data) if source.data is not None else f"file:{source.path}"
    options = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    if track is not None and parse_avcc_frame_size(track.avcc) == (track.width, track.height):
        options["skip_frame"] = "all"  # the size is known: FFmpeg need not decode a frame to find it out
    # PyAV 19 replaces characters that are not UTF-8 by itself.
    more = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
    try:
        with av.open(target, format="mov" if mp4 else "matroska", options=options, **more) as container:
            return _build_index(av, container, source.name, track)
    except av.error.FFmpegError as error:
        raise ClipError.damaged(source.name, f"cannot be read as a video ({error.strerror or error})") from error


def check_frame_size(name: str, width: int, height: int) -> None:
    """Raise ``ClipError`` for frames larger than 8K."""
    if width * height > MAX_PIXELS or max(width, height) > 16_384:
        raise ClipError(f"{name}: claims frames of {width}×{height}; scale them to at most 7680×4320")


def _build_index(av: Any, container: Any, name: str, track: Track | None) -> FrameIndex:
    # A cover picture counts as a stream, too, and may come first.
    cover = av.stream.Disposition.attached_pic  # a number from PyAV 18 on, before that only a flag
    videos = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not videos:
        raise ClipError.damaged(name, "holds no video track")
    stream = videos[0]
    context = stream.codec_context
    if context is None or context.codec.name not in _CODECS:
        codec = (track.codec if track else "") or (context.codec.name if context else "unknown")
        raise ClipError(f"{name}: uses the codec {codec!r}, which is not supported; re-encode it as H.264")
    check_frame_size(name, context.width, context.height)
    listed = len(stream.index_entries) if track else 0
    packets: list[Any] = []
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if packet.is_corrupt:
            raise ClipError.damaged(name, f"is cut short or damaged within its frame {len(packets)}")
        packets.append(packet)
        if len(packets) > MAX_FRAMES:
            raise ClipError(f"{name}: has more than {MAX_FRAMES:,} frames; cut it into clips of a few seconds")
    if len(packets) < listed:
        raise ClipError.damaged(name, f"is cut short: its index lists {listed} frames, the file holds {len(packets)}")
    pts = sorted(packet.pts for packet in packets if not packet.is_discard and packet.pts is not None)
    if not pts:
        raise ClipError.damaged(name, "shows no frames")
    if any(packet.pts is None for packet in packets) or len({packet.pts for packet in packets}) < len(packets):
        raise ClipError(f"{name}: two of its frames have the same timestamp, or one has none; re-encode it")
    return FrameIndex(
        name=name,
        packets=tuple(packets),
        pts=tuple(pts),
        time_base=stream.time_base,
        header_fps=stream.average_rate,
        codec=context.codec,
        codec_tag=track.codec if track else "",
        extradata=context.extradata,
        width=context.width,
        height=context.height,
        matrix=parse_display_matrix(track.matrix if track else _decode_display_matrix(context, packets), name),
        has_hidden_frames=len(pts) < len(packets),
    )


def _decode_display_matrix(context: Any, packets: list[Any]) -> Matrix:
    """Return the display matrix of a Matroska file, which FFmpeg attaches to the first decoded frame only."""
    context.thread_count = 1
    for packet in (*packets, None):
        for frame in context.decode(packet):
            data = frame.side_data.get("DISPLAYMATRIX")
            if data is None:
                return IDENTITY
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            return (a, b, c, d)
    return IDENTITY


# Matroska and WebM: the first two elements, header and segment, say how long the file must be.

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def _check_matroska_complete(file: BinaryIO, name: str) -> None:
    """Raise ``ClipError`` when the file is not Matroska or ends before its segment does.

    A segment of unknown size, as live writers leave it, passes.
    """
    end = file.seek(0, 2)
    at = 0
    for expected in (_EBML, _SEGMENT):
        file.seek(at)
        head = file.read(12)
        found = int.from_bytes(head[:4], "big")
        if expected == _EBML and found != _EBML:
            raise ClipError(f"{name}: is not a video file; give mp4, mov, mkv or webm")
        size, used = _parse_ebml_length(head[4:])
        if found != expected or not used:
            raise ClipError.damaged(name, "its header is damaged or cut short")
        at += 4 + used
        if size is not None and at + size > end:
            raise ClipError.damaged(name, f"is cut short: it needs {at + size:,} bytes, the file has {end:,}")
        at += size or 0


def _parse_ebml_length(data: bytes) -> tuple[int | None, int]:
    """Return an EBML length and the bytes it takes: None for an unknown length, 0 bytes for an invalid one.

    >>> _parse_ebml_length(bytes([0x84])), _parse_ebml_length(bytes([0x40, 0x02])), _parse_ebml_length(bytes([0xFF]))
    ((4, 1), (2, 2), (None, 1))
    """
    used = 9 - data[0].bit_length() if data and data[0] else 0
    if not 0 < used <= len(data):
        return None, 0
    value = int.from_bytes(data[:used], "big") & ((1 << (7 * used)) - 1)
    return (None if value == (1 << (7 * used)) - 1 else value), used
