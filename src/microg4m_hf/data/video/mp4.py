"""Read the header of an mp4 file without a decoder: frame size, rotation, frame count and duration.

FFmpeg trusts the counts in a header and allocates memory for them, so impossible values raise a ``ClipError`` here
first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ...errors import ClipError

MAX_FRAMES = 100_000  # almost an hour at 30 frames a second
_MAX_SAMPLES = 10_000_000  # of any other track: an hour of audio has 170,000
_MAX_MOOV_BYTES = 64 << 20
_MAX_TRACKS = 64
_MAX_BOXES = 20_000  # outermost; a fragmented clip has two for each group of pictures
_MAX_DEPTH = 8
_CONTAINER_BOXES = {b"trak", b"mdia", b"minf", b"stbl", b"edts"}

Matrix = tuple[int, int, int, int]
IDENTITY: Matrix = (1, 0, 0, 1)


@dataclass
class Track:
    """The header of one track; fields that the file leaves out are zero or empty."""

    kind: bytes = b""
    codec: str = ""
    width: int = 0
    height: int = 0
    avcc: bytes = b""  # H.264 parameter sets
    matrix: Matrix = IDENTITY
    timescale: int = 0
    duration: int = 0
    samples: int = 0
    summed_duration: int = 0  # of all samples


def is_mp4(file: BinaryIO) -> bool:
    """Return whether the file begins like the mp4 family (ISO base media, QuickTime)."""
    file.seek(0)
    return file.read(8)[4:8] in {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"}


def read_mp4(file: BinaryIO, name: str) -> Track:
    """Return the header of the first video track.

    Args:
        file: A file that begins like an mp4 file.
        name: The name that error messages use.

    Raises:
        ClipError: The file is cut short, holds no video, or claims impossible counts.
    """
    moov = b""
    fragmented = False
    for kind, start, size in _outer_boxes(file, name):
        if kind == b"moov" and not moov:
            if size > _MAX_MOOV_BYTES:
                raise ClipError.damaged(name, f"its index claims {size:,} bytes, where a clip's has a few thousand")
            file.seek(start)
            moov = file.read(size)
        fragmented = fragmented or kind == b"moof"
    if not moov:
        raise ClipError.damaged(name, "has no index (moov), as a file that was cut short or never finished")
    track = next((track for track in _read_tracks(moov, name) if track.kind == b"vide"), None)
    if track is None:
        raise ClipError.damaged(name, "holds no video track")
    if not track.samples and not fragmented:
        raise ClipError.damaged(name, "its video track holds no frames")
    return track


def check_mp4_complete(file: BinaryIO, name: str) -> None:
    """Raise ``ClipError`` unless the file is an mp4 file with an index and all its bytes.

    Only the outermost boxes are read, which takes microseconds.
    """
    if not is_mp4(file):
        raise ClipError.damaged(name, "does not begin like an mp4 file")
    if all(kind != b"moov" for kind, _, _ in list(_outer_boxes(file, name))):
        raise ClipError.damaged(name, "has no index (moov), as a file that was cut short or never finished")


def _outer_boxes(file: BinaryIO, name: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start of content, size of content) of each outermost box; all must lie inside the file."""
    end = file.seek(0, 2)
    at = count = 0
    while at < end:
        count += 1
        if count > _MAX_BOXES:
            raise ClipError.damaged(name, f"has more than {_MAX_BOXES:,} boxes, where a clip has a few")
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return  # a few stray bytes after the last box
        size, kind, skip = _parse_box_header(head, end - at)
        if size < skip:
            raise ClipError.damaged(name, f"its boxes are damaged (a {_printable(kind)!r} box of {size} bytes)")
        if at + size > end:
            raise ClipError.damaged(
                name, f"is cut short: its {_printable(kind)!r} box needs {at + size:,} bytes, the file has {end:,}"
            )
        yield kind, at + skip, size - skip
        at += size


def _inner_boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end) of the boxes inside another one, up to the first that does not fit."""
    while start + 8 <= end:
        size, kind, skip = _parse_box_header(data[start : min(start + 16, end)], end - start)
        if size < skip or start + size > end:
            return
        yield kind, start + skip, start + size
        start += size


def _parse_box_header(head: bytes, rest: int) -> tuple[int, bytes, int]:
    """Return size, kind and header length of a box; ``rest`` is the size of one that extends to the end."""
    size, kind = struct.unpack(">I4s", head[:8])
    if size == 1 and len(head) == 16:
        return struct.unpack(">Q", head[8:])[0], kind, 16
    return size or rest, kind, 8


def _read_tracks(moov: bytes, name: str) -> list[Track]:
    tracks: list[Track] = []
    for kind, start, end in _inner_boxes(moov, 0, len(moov)):
        if kind != b"trak":
            continue
        if len(tracks) == _MAX_TRACKS:
            raise ClipError.damaged(name, f"has more than {_MAX_TRACKS} tracks")
        track = Track()
        try:
            _fill_track(track, moov, start, end)
        except (struct.error, IndexError) as error:
            raise ClipError.damaged(name, f"its index is damaged ({error})") from error
        limit = MAX_FRAMES if track.kind == b"vide" else _MAX_SAMPLES
        if track.samples > limit:
            raise ClipError.damaged(name, f"its index claims {track.samples:,} frames, the limit is {limit:,}")
        tracks.append(track)
    return tracks


def _fill_track(track: Track, data: bytes, start: int, end: int, depth: int = 0) -> None:
    for kind, at, stop in _inner_boxes(data, start, end):
        if kind in _CONTAINER_BOXES:
            if depth < _MAX_DEPTH:
                _fill_track(track, data, at, stop, depth + 1)
            continue
        body = data[at:stop]
        if kind == b"tkhd":
            a, b, _, c, d = struct.unpack(">5i", body[52:72] if body[0] == 1 else body[40:60])
            track.matrix = (a, b, c, d)
        elif kind == b"mdhd":
            fields = struct.unpack(">IQ", body[20:32]) if body[0] == 1 else struct.unpack(">II", body[12:20])
            track.timescale, track.duration = fields
        elif kind == b"hdlr" and not track.kind:  # a second one belongs to a QuickTime data reference
            track.kind = body[8:12]
        elif kind == b"stsd" and len(body) >= 16:
            track.codec = _printable(body[12:16]).strip()
            if len(body) >= 44:
                track.width, track.height = struct.unpack(">HH", body[40:44])
            inner = {name: body[first:last] for name, first, last in _inner_boxes(body, 94, len(body))}
            track.avcc = inner.get(b"avcC", b"")
        elif kind in (b"stsz", b"stz2"):
            track.samples = max(track.samples, struct.unpack(">I", body[8:12])[0])
        elif kind == b"stts":
            pairs = struct.unpack(">I", body[4:8])[0]
            runs = struct.iter_unpack(">II", body[8 : 8 + 8 * min(pairs, (len(body) - 8) // 8)])
            track.summed_duration = sum(count * length for count, length in runs)


def _printable(raw: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in raw)


# Display matrices: phones store the frame as the sensor sees it, with a rotation beside it.


def parse_display_matrix(matrix: Matrix, name: str) -> Matrix:
    """Reduce a display matrix to signs; raise ``ClipError`` for anything but quarter turns and mirrors.

    >>> parse_display_matrix((0, 65536, -65536, 0), "clip.mp4")
    (0, 1, -1, 0)
    """
    a, b, c, d = matrix
    straight, crossed = a and d and not b and not c, b and c and not a and not d
    if not straight and not crossed:
        if not any(matrix):
            return IDENTITY  # some writers leave the field empty
        raise ClipError(f"{name}: its display matrix {matrix} is not a rotation by 90 degrees; re-encode it upright")
    one, two, three, four = ((value > 0) - (value < 0) for value in matrix)
    return (one, two, three, four)


def rotation_degrees(matrix: Matrix) -> int:
    """Return the clockwise rotation (0, 90, 180 or 270) that a matrix of signs stands for, mirrors ignored.

    >>> [rotation_degrees(matrix) for matrix in [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (1, 0, 0, -1)]]
    [90, 180, 270, 0]
    """
    a, b, _, d = matrix
    if a or d:
        return 180 if a < 0 and d < 0 else 0
    return 90 if b > 0 else 270


def displayed_size(width: int, height: int, matrix: Matrix) -> tuple[int, int]:
    """Return (width, height) after rotation.

    >>> displayed_size(64, 48, (0, 1, -1, 0))
    (48, 64)
    """
    return (height, width) if matrix[1] else (width, height)


def rotate_frame(frame: Any, matrix: Matrix) -> Any:
    """Return a view of the stored frame (height, width, 3) as it is displayed; nothing is copied.

    A stored point (x, y) is displayed at (a·x + c·y, b·x + d·y).
    """
    if matrix == IDENTITY:
        return frame
    a, b, c, d = matrix
    if b:
        frame = frame.swapaxes(0, 1)
    across, down = (c, b) if b else (a, d)
    return frame[:: 1 if down > 0 else -1, :: 1 if across > 0 else -1]
