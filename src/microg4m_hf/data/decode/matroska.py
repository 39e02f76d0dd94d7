"""Whether a Matroska or WebM file is all there: its first two elements say how long it must be."""

from __future__ import annotations

from typing import BinaryIO

from ...errors import ClipError

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
