"""What a clip can be opened from, checked before any decoder sees it."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import ClipError
from ...hub import hub_errors, with_retries

# Clips that a published row only refers to: a range of bytes of a file on the Hub.

SCHEME = "reference://"
_TABLE = "::data:application/vnd.kerchunk.json;base64,"
_HUB = "hf://datasets/"


def range_of(address: str) -> tuple[str, int, int]:
    """File, first byte and number of bytes of an address that :mod:`~microg4m_hf.data.publish.plan` writes.

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
    with hub_errors(f"read a clip from {file}", error=ClipError):
        hub = HfFileSystem()
        return with_retries(lambda: hub.cat_file(file, offset, offset + length))


MAX_BYTES = 1 << 30
"""Largest file that is taken for a clip; the released ones have 0.2 to 2 MB."""


@dataclass(frozen=True)
class Source:
    """A clip's bytes or its absolute path, and the name that messages use."""

    name: str
    path: Path | None = None
    data: bytes | None = None

    def open(self) -> BinaryIO:
        """A fresh binary file over the clip."""
        import io

        if self.data is not None:
            return io.BytesIO(self.data)
        assert self.path is not None
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise ClipError(f"{self.name}: cannot be opened ({error.strerror or error})") from error

    def size(self) -> int:
        if self.data is not None:
            return len(self.data)
        assert self.path is not None
        return self.path.stat().st_size


def as_source(given: Any) -> Source:
    """Accept a path, bytes, or a row's ``{"path": ..., "bytes": ...}``; refuse what no clip can be.

    The path may be the reference of a published row; its bytes are then fetched from the Hub.

    >>> as_source({"path": "Apollo13_032.mp4", "bytes": b"abc"}).name
    'Apollo13_032.mp4'
    """
    if isinstance(given, Source):
        return given
    if isinstance(given, Mapping):
        data, path = given.get("bytes"), given.get("path")
        if data is None and path is None:
            raise ClipError(f"a row without a video: 'bytes' and 'path' are both missing or None in {sorted(given)}")
        if data is None:
            return as_source(path)
        return _from_bytes(data, str(path) if path else "<bytes>")
    if isinstance(given, bytes | bytearray | memoryview):
        return _from_bytes(given, "<bytes>")
    if isinstance(given, str) and given.startswith(SCHEME):
        name = given.removeprefix(SCHEME).partition("::")[0]
        return _from_bytes(fetched(given, MAX_BYTES), name)
    if isinstance(given, str | os.PathLike):
        return _from_path(given)
    raise ClipError(
        f"a clip cannot be opened from {type(given).__name__}; give a path, bytes or a row {{'path', 'bytes'}} "
        "(for a datasets column: cast_column('video', Video(decode=False)))"
    )


def _from_bytes(data: Any, name: str) -> Source:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ClipError(f"{name}: 'bytes' holds {type(data).__name__}, not bytes")
    whole = bytes(data)
    _check_size(name, len(whole))
    return Source(name, data=whole)


def _from_path(given: str | os.PathLike[str]) -> Source:
    text = os.fsdecode(given)
    name = text.encode("utf-8", "backslashreplace").decode()  # a name that is no UTF-8 can still be printed
    if "\0" in text or not text:
        raise ClipError(f"{name!r} is no path of a file")
    path = Path(os.path.abspath(text))
    try:
        found = path.stat()
    except OSError as error:
        hint = "; addresses are not opened: download the file first" if "://" in text else ""
        raise ClipError(f"{name}: {error.strerror or error}{hint}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise ClipError(f"{name}: is {kind}, not a video file")
    _check_size(name, found.st_size)
    return Source(name, path=path)


def _check_size(name: str, size: int) -> None:
    if size == 0:
        raise ClipError(f"{name}: is empty (0 bytes)")
    if size > MAX_BYTES:
        raise ClipError(f"{name}: has {size:,} bytes; a clip of a few seconds has a few MB (limit {MAX_BYTES:,})")
