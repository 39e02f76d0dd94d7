"""Check what a clip is opened from (a path, bytes, or a row) before a decoder reads it.

The clip of a published row may be a reference: a range of bytes of a file on the Hub, see
:mod:`microg4m_hf.data.publish.plan`.
"""

from __future__ import annotations

import base64
import io
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import ClipError
from ...hub import hub_errors, with_retries

MAX_BYTES = 1 << 30  # the released clips have 0.2 to 2 MB
_REFERENCE_PREFIX = "reference://"
_TABLE_PREFIX = "::data:application/vnd.kerchunk.json;base64,"
_HUB_PREFIX = "hf://datasets/"


@dataclass(frozen=True)
class ClipSource:
    """A clip's bytes or absolute path, and the name that messages use."""

    name: str
    path: Path | None = None
    data: bytes | None = None

    def open(self) -> BinaryIO:
        """Return a new binary file over the clip."""
        if self.data is not None:
            return io.BytesIO(self.data)
        assert self.path is not None
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise ClipError(
                f"{self.name}: cannot be opened ({error.strerror or error}); check the path, and that you may read it"
            ) from error


def as_source(clip: Any) -> ClipSource:
    """Return the checked source of a clip.

    Args:
        clip: A path, bytes, or a row's ``{"path": ..., "bytes": ...}``. A path may be the reference of a published
            row; its bytes are then downloaded from the Hub.

    Raises:
        ClipError: The clip is missing, empty, too large, or not a regular file.

    Example:
        >>> as_source({"path": "Apollo13_032.mp4", "bytes": b"abc"}).name
        'Apollo13_032.mp4'
    """
    if isinstance(clip, ClipSource):
        return clip
    if isinstance(clip, Mapping):
        data, path = clip.get("bytes"), clip.get("path")
        if data is None and path is None:
            raise ClipError(
                f"a row without a video: 'bytes' and 'path' are both missing or None in {sorted(clip)}; load "
                "the dataset with videos=True"
            )
        if data is None:
            return as_source(path)
        return _from_bytes(data, str(path) if path else "<bytes>")
    if isinstance(clip, bytes | bytearray | memoryview):
        return _from_bytes(clip, "<bytes>")
    if isinstance(clip, str) and clip.startswith(_REFERENCE_PREFIX):
        return _from_bytes(_download_reference(clip), clip.removeprefix(_REFERENCE_PREFIX).partition("::")[0])
    if isinstance(clip, str | os.PathLike):
        return _from_path(clip)
    raise ClipError(
        f"a clip cannot be opened from {type(clip).__name__}; give a path, bytes or a row {{'path', 'bytes'}} "
        "(for a datasets column: cast_column('video', Video(decode=False)))"
    )


def _from_bytes(data: Any, name: str) -> ClipSource:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ClipError(f"{name}: 'bytes' holds {type(data).__name__}; give the content of a file as bytes")
    content = bytes(data)
    _check_file_size(name, len(content))
    return ClipSource(name, data=content)


def _from_path(clip: str | os.PathLike[str]) -> ClipSource:
    text = os.fsdecode(clip)
    name = text.encode("utf-8", "backslashreplace").decode()  # so that a name that is not UTF-8 can be printed
    if "\0" in text or not text:
        raise ClipError(f"{name!r} is not a file path; give the path of a video file")
    path = Path(os.path.abspath(text))
    try:
        status = path.stat()
    except OSError as error:
        hint = "; addresses are not opened: download the file first" if "://" in text else ""
        raise ClipError(f"{name}: {error.strerror or error}{hint}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise ClipError(f"{name}: is {kind}; give a video file")
    _check_file_size(name, status.st_size)
    return ClipSource(name, path=path)


def _check_file_size(name: str, size: int) -> None:
    if size == 0:
        raise ClipError.damaged(name, "is empty (0 bytes)")
    if size > MAX_BYTES:
        raise ClipError(f"{name}: has {size:,} bytes; cut it into clips of a few seconds (at most {MAX_BYTES:,})")


def _download_reference(address: str) -> bytes:
    from huggingface_hub import HfFileSystem

    file, offset, length = _parse_reference(address)
    if length > MAX_BYTES:
        raise ClipError(f"{file}: the reference asks for {length:,} bytes; give shorter clips (at most {MAX_BYTES:,})")
    with hub_errors(f"read a clip from {file}", error=ClipError):
        hub = HfFileSystem()
        # huggingface_hub 0.24 to 2.4 does not retry the request that resolves the revision.
        return with_retries(lambda: hub.cat_file(file, offset, offset + length))


def _parse_reference(address: str) -> tuple[str, int, int]:
    """Return file, first byte and number of bytes of a reference.

    >>> table = base64.b64encode(b'{"refs": {"a.mp4": ["hf://datasets/me/d@v1/c.parquet", 4, 9]}}').decode()
    >>> _parse_reference(f"reference://a.mp4{_TABLE_PREFIX}{table}")
    ('hf://datasets/me/d@v1/c.parquet', 4, 9)
    """
    label, _, table = address.removeprefix(_REFERENCE_PREFIX).partition(_TABLE_PREFIX)
    try:
        file, offset, length = json.loads(base64.b64decode(table, validate=True))["refs"][label]
        valid = file.startswith(_HUB_PREFIX) and min(offset, length) >= 0
        if valid and type(offset) is int and type(length) is int:
            return file, offset, length
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ClipError(f"{label[:80]}: is not a reference to a clip in a dataset on the Hub; give a path or bytes")
