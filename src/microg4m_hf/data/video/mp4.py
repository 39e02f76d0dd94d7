"""The index of an mp4 file, read from its boxes without any decoder: size, turn, rate, counts, and what cannot be.

FFmpeg believes the counts in these boxes and allocates for them, so absurd ones are refused here first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ...errors import ClipError

MAX_FRAMES = 100_000
"""Almost an hour at 30 frames a second."""
_MAX_SAMPLES = 10_000_000  # of any other track: an hour of audio has 170,000
_MAX_INDEX = 64 << 20  # bytes of the moov box
_MAX_TRACKS = 64
_MAX_BOXES = 20_000  # outermost; a fragmented clip has two for each group of pictures
_MAX_DEPTH = 8
_FOLDERS = {b"trak", b"mdia", b"minf", b"stbl", b"edts"}

Matrix = tuple[int, int, int, int]
UPRIGHT: Matrix = (1, 0, 0, 1)


@dataclass
class Track:
    """What the boxes of one track say; zero or empty where they say nothing."""

    kind: bytes = b""
    codec: str = ""
    width: int = 0
    height: int = 0
    avcc: bytes = b""  # H.264 parameter sets
    matrix: Matrix = UPRIGHT
    timescale: int = 0
    duration: int = 0
    samples: int = 0
    summed: int = 0  # total of the sample durations
    edits: int = 0


def is_mp4(file: BinaryIO) -> bool:
    """Whether the file begins like the mp4 family (ISO base media, QuickTime)."""
    file.seek(0)
    return file.read(8)[4:8] in {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"}


def read_mp4(file: BinaryIO, name: str) -> Track:
    """The first video track of an mp4 file; a ``ClipError`` names what is cut off, missing or absurd."""
    index = b""
    fragmented = False
    for kind, start, size in _top_level(file, name):
        if kind == b"moov" and not index:
            if size > _MAX_INDEX:
                raise ClipError(f"{name}: its index claims {size:,} bytes; a clip's has a few thousand")
            file.seek(start)
            index = file.read(size)
        fragmented = fragmented or kind == b"moof"
    if not index:
        raise ClipError(f"{name}: has no index (moov): the file was cut short or is no finished mp4")
    tracks = _tracks(index, name)
    videos = [track for track in tracks if track.kind == b"vide"]
    if not videos:
        raise ClipError(f"{name}: holds no video track")
    track = videos[0]
    if not track.samples and not fragmented:
        raise ClipError(f"{name}: its video track holds no frames")
    return track


def check_mp4_complete(file: BinaryIO, name: str) -> None:
    """Refuse a file that is no mp4, was cut short or has no index, from its outermost boxes alone (microseconds)."""
    if not is_mp4(file):
        raise ClipError(f"{name}: does not begin like an mp4 file")
    if all(kind != b"moov" for kind, _, _ in list(_top_level(file, name))):
        raise ClipError(f"{name}: has no index (moov): the file was cut short or is no finished mp4")


def _top_level(file: BinaryIO, name: str) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of content, size of content) of each outermost box; all must lie inside the file."""
    end = file.seek(0, 2)
    at = count = 0
    while at < end:
        count += 1
        if count > _MAX_BOXES:
            raise ClipError(f"{name}: has more than {_MAX_BOXES:,} boxes; no clip has")
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return  # a few stray bytes after the last box
        size, kind = struct.unpack(">I4s", head[:8])
        skip = 8
        if size == 1 and len(head) == 16:
            size, skip = struct.unpack(">Q", head[8:])[0], 16
        elif size == 0:
            size = end - at
        if size < skip:
            raise ClipError(f"{name}: its boxes are damaged (a {_printable(kind)!r} box of {size} bytes)")
        if at + size > end:
            raise ClipError(
                f"{name}: is cut short: its {_printable(kind)!r} box needs {at + size:,} bytes, the file has {end:,}"
            )
        yield kind, at + skip, size - skip
        at += size


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the boxes inside another one; stops where they stop making sense."""
    while start + 8 <= end:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        skip = 8
        if size == 1 and start + 16 <= end:
            size, skip = struct.unpack(">Q", data[start + 8 : start + 16])[0], 16
        elif size == 0:
            size = end - start
        if size < skip or start + size > end:
            return
        yield kind, start + skip, start + size
        start += size


def _tracks(index: bytes, name: str) -> list[Track]:
    tracks: list[Track] = []
    for kind, start, end in _boxes(index, 0, len(index)):
        if kind != b"trak":
            continue
        if len(tracks) == _MAX_TRACKS:
            raise ClipError(f"{name}: has more than {_MAX_TRACKS} tracks")
        track = Track()
        try:
            _fill(track, index, start, end)
        except (struct.error, IndexError) as error:
            raise ClipError(f"{name}: its index is damaged ({error})") from error
        limit = MAX_FRAMES if track.kind == b"vide" else _MAX_SAMPLES
        if track.samples > limit:
            raise ClipError(f"{name}: its index claims {track.samples:,} frames; a clip may have {limit:,}")
        tracks.append(track)
    return tracks


def _fill(track: Track, data: bytes, start: int, end: int, depth: int = 0) -> None:
    for kind, at, stop in _boxes(data, start, end):
        if kind in _FOLDERS:
            if depth < _MAX_DEPTH:
                _fill(track, data, at, stop, depth + 1)
            continue
        body = data[at:stop]
        if kind == b"tkhd":
            a, b, _, c, d = struct.unpack(">5i", body[52:72] if body[0] == 1 else body[40:60])
            track.matrix = (a, b, c, d)
        elif kind == b"mdhd":
            wide = body[0] == 1
            track.timescale, track.duration = struct.unpack(
                ">IQ" if wide else ">II", body[20:32] if wide else body[12:20]
            )
        elif kind == b"hdlr" and not track.kind:  # a second one belongs to a QuickTime data reference
            track.kind = body[8:12]
        elif kind == b"stsd" and len(body) >= 16:
            track.codec = _printable(body[12:16]).strip()
            if len(body) >= 44:
                track.width, track.height = struct.unpack(">HH", body[40:44])
            inner = {name: body[first:last] for name, first, last in _boxes(body, 94, len(body))}
            track.avcc = inner.get(b"avcC", b"")
        elif kind in (b"stsz", b"stz2"):
            track.samples = max(track.samples, struct.unpack(">I", body[8:12])[0])
        elif kind == b"stts":
            pairs = struct.unpack(">I", body[4:8])[0]
            runs = struct.iter_unpack(">II", body[8 : 8 + 8 * min(pairs, (len(body) - 8) // 8)])
            track.summed = sum(count * length for count, length in runs)
        elif kind == b"elst":
            track.edits = struct.unpack(">I", body[4:8])[0]


def _printable(raw: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in raw)
