"""Width and height of an mp4 file from its header, without a decoder: a few seeks, whatever the file claims.

An mp4 file is a list of boxes: four bytes of size, four of name, then content, which may be boxes again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from ..errors import ClipError

_MAX_BOXES = 1000
_MAX_HEADER = 64 << 20


def frame_size_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of the shown frames; a clip turned by its header has them swapped.

    >>> import tempfile
    >>> junk = Path(tempfile.mkdtemp()) / "clip.mp4"
    >>> _ = junk.write_bytes(b"not a video")
    >>> frame_size_of(junk)
    Traceback (most recent call last):
    microg4m_hf.errors.ClipError: ...clip.mp4 is not a readable mp4 file: it does not begin like one
    """
    file = Path(path)
    try:
        with open(file, "rb") as stream:
            return _size_in(_movie_header(stream, os.fstat(stream.fileno()).st_size))
    except OSError as error:
        raise ClipError(f"{file} cannot be opened: {error.strerror or error}") from error
    except ValueError as error:
        raise ClipError(f"{file} is not a readable mp4 file: {error}") from None


def _movie_header(stream: BinaryIO, length: int) -> bytes:
    """The content of the ``moov`` box."""
    position = 0
    for _ in range(_MAX_BOXES):
        stream.seek(position)
        head = stream.read(16)
        if len(head) < 8:
            break
        size, name, skip = int.from_bytes(head[:4], "big"), head[4:8], 8
        if position == 0 and name not in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
            raise ValueError("it does not begin like one")
        if size == 1 and len(head) == 16:
            size, skip = int.from_bytes(head[8:], "big"), 16
        elif size == 0:
            size = length - position
        if size < skip or position + size > length:
            raise ValueError(f"its box {name!r} is cut short or damaged")
        if name == b"moov":
            if size > _MAX_HEADER:
                raise ValueError("its header is larger than 64 MiB")
            stream.seek(position + skip)
            return stream.read(size - skip)
        position += size
    raise ValueError("it has no header (moov box); it is empty or was cut off")


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    position = 0
    while position + 8 <= len(data) and len(found) < _MAX_BOXES:
        size = int.from_bytes(data[position : position + 4], "big") or len(data) - position
        if size < 8 or position + size > len(data):
            raise ValueError("its header is damaged")
        found.append((data[position + 4 : position + 8], data[position + 8 : position + size]))
        position += size
    return found


def _size_in(moov: bytes) -> tuple[int, int]:
    for name, track in _boxes(moov):
        if name != b"trak":
            continue
        inner = dict(_boxes(track))
        media = dict(_boxes(inner.get(b"mdia", b"")))
        if media.get(b"hdlr", b"")[8:12] != b"vide":
            continue
        table = dict(_boxes(dict(_boxes(media.get(b"minf", b""))).get(b"stbl", b"")))
        entry = table.get(b"stsd", b"")[8:]  # version, flags and number of entries come first
        width, height = int.from_bytes(entry[32:34], "big"), int.from_bytes(entry[34:36], "big")
        if width < 1 or height < 1:
            raise ValueError("its video track says no size")
        return (height, width) if _is_turned(inner.get(b"tkhd", b"")) else (width, height)
    raise ValueError("it has no video track")


def _is_turned(track_header: bytes) -> bool:
    """Whether the track's matrix swaps x and y (a quarter turn)."""
    start = 52 if track_header[:1] == b"\x01" else 40  # version 1 has 64-bit times
    matrix = track_header[start : start + 36]
    return len(matrix) == 36 and matrix[:4] == bytes(4) and matrix[4:8] != bytes(4)
