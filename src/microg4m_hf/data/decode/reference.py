"""Clips that a published row only refers to: a range of bytes of a file on the Hub."""

from __future__ import annotations

import base64
import json

from ...errors import ClipError
from ...hub import explained, patiently

SCHEME = "reference://"
_TABLE = "::data:application/vnd.kerchunk.json;base64,"
_HUB = "hf://datasets/"


def range_of(address: str) -> tuple[str, int, int]:
    """File, first byte and number of bytes of an address that :mod:`~microg4m_hf.data.publication` writes.

    >>> table = base64.b64encode(b'{"refs": {"a.mp4": ["hf://datasets/me/d@v1/c.parquet", 4, 9]}}').decode()
    >>> range_of(f"reference://a.mp4{_TABLE}{table}")
    ('hf://datasets/me/d@v1/c.parquet', 4, 9)
    """
    label, _, table = address.removeprefix(SCHEME).partition(_TABLE)
    try:
        file, offset, length = json.loads(base64.b64decode(table, validate=True))["refs"][label]
        sound = file.startswith(_HUB) and min(offset, length) >= 0
        if sound and type(offset) is int and type(length) is int:
            return file, offset, length
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ClipError(f"{label[:80]}: is no reference to a clip in a data set on the Hub; give a path or bytes")


def fetched(address: str, limit: int) -> bytes:
    """The bytes that an address refers to, from the Hub, at most ``limit`` of them."""
    from huggingface_hub import HfFileSystem

    file, offset, length = range_of(address)
    if length > limit:
        raise ClipError(f"{file}: the reference asks for {length:,} bytes; a clip has a few MB (limit {limit:,})")
    with explained(f"read a clip from {file}", error=ClipError):
        hub = HfFileSystem()
        return patiently(lambda: hub.cat_file(file, offset, offset + length))
