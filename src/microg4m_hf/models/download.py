"""Download a large file over HTTPS: resumed, atomic, bounded, by one process at a time, and checked by its digest."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .._version import __version__
from ..errors import CheckpointError
from ..exits import ADVICE
from ..runtime import progress
from ..storage import cache_home, write_atomic

MAX_BYTES = 2 << 30  # the largest file of the zoo has a quarter of it
SPARE_DISK_BYTES = 64 << 20
TIMEOUT = 30.0  # seconds without a byte
SLOWEST = 1024.0, 60.0  # a server that sends less than so many bytes per second for so many seconds has failed
_BLOCK = 1 << 20


def download(url: str, path: Path, by_hand: str) -> str:
    """Download a file unless it is there, and return its SHA-256.

    The digest is recorded at the first download, and a file with another one is refused later. An interrupted download
    is continued by the next call.

    Args:
        url: The address, with ``https``; ``http`` only on this machine.
        path: Where the file belongs.
        by_hand: What to do without a network, for error messages.

    Raises:
        CheckpointError: The file cannot be downloaded, is not a checkpoint, or differs from the first download.
        OSError: The disk is full, or cannot be written to.
    """
    from filelock import FileLock

    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise CheckpointError(f"{url} is not an https address; give one, or download the file yourself")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):  # released by the system if its process dies
        if not path.is_file():
            _download(url, path, by_hand)
        return record_digest(path, url)


def _download(url: str, path: Path, by_hand: str) -> None:
    part, note = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.part.json")
    begun = part.stat().st_size if part.is_file() else 0
    tag = _read_note(note).get("tag")
    headers = {"User-Agent": f"microg4m-hf/{__version__}", "Accept-Encoding": "identity"}
    if begun and tag:
        headers |= {"Range": f"bytes={begun}-", "If-Range": tag}
    try:
        with urllib.request.build_opener(_SafeRedirects).open(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        ) as reply:
            if reply.status != 206:
                begun = 0
            total = _total(reply, begun, url)
            _check(reply, total, path, begun, url)
            tag = reply.headers.get("ETag") or reply.headers.get("Last-Modified")
            write_atomic(note, json.dumps({"tag": tag, "url": url}))
            with open(part, "ab" if begun else "wb") as file:
                for block in _blocks(reply, path.name, begun, total):
                    file.write(block)
                    if file.tell() > (total or MAX_BYTES):
                        part.unlink()
                        raise CheckpointError(f"{url} sends more than {total or MAX_BYTES} bytes; try again later")
                file.flush()
                os.fsync(file.fileno())
        size = part.stat().st_size
        if total is not None and size != total:
            raise CheckpointError(
                f"the connection to {url} ended after {size} of {total} bytes; run the same command again to continue"
            )
    except urllib.error.HTTPError as error:
        if error.code == 416 and begun:  # the server has a shorter file than the one that was begun
            part.unlink()
            return _download(url, path, by_hand)
        raise CheckpointError(f"{url} cannot be downloaded: the server replied {error.code}; {by_hand}") from None
    except CheckpointError:
        raise
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and (error.errno in ADVICE or error.filename is not None):
            error.filename = error.filename or str(part)  # a write to an open file does not name it
            raise
        reason = " ".join(str(getattr(error, "reason", error)).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{url} cannot be downloaded ({reason}); run the same command again to continue, or {by_hand}"
        ) from None
    with open(part, "rb") as file:
        if file.read(64).lstrip()[:1] == b"<":
            part.unlink()
            raise CheckpointError(f"{url} sent a web page instead of a checkpoint; {by_hand}")
    os.replace(part, path)
    note.unlink(missing_ok=True)
    return None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"the server redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _total(reply: Any, begun: int, url: str) -> int | None:
    length = reply.headers.get("Content-Length")
    if length is None:
        return None
    if not length.isdecimal():
        raise CheckpointError(f"{url} announces a length of {length[:40]!r}; try again later")
    return begun + int(length)


def _check(reply: Any, total: int | None, path: Path, begun: int, url: str) -> None:
    if reply.headers.get_content_type() == "text/html":
        raise CheckpointError(f"{url} sends a web page instead of a checkpoint; check the network and try again")
    if total is not None and total > MAX_BYTES:
        raise CheckpointError(f"{url} has {total} bytes; give that of a checkpoint, of at most {MAX_BYTES}")
    free = shutil.disk_usage(path.parent).free
    if total is not None and free < total - begun + SPARE_DISK_BYTES:
        raise CheckpointError(
            f"{path.name} needs {(total - begun) >> 20} MB at {path.parent}, where {free >> 20} MB are free; free some "
            "space or set MICROG4M_HOME to a larger disk"
        )


def _blocks(reply: Any, name: str, begun: int, total: int | None) -> Iterator[bytes]:
    def read() -> Iterator[bytes]:
        rate, seconds = SLOWEST
        block, counted, since = bytearray(), 0, time.monotonic()
        while piece := reply.read1(_BLOCK):
            block += piece
            counted += len(piece)
            if time.monotonic() - since > seconds:
                if counted < rate * seconds:
                    raise TimeoutError(f"only {counted} bytes came in {seconds:.0f} seconds")
                counted, since = 0, time.monotonic()
            if len(block) >= _BLOCK:
                yield bytes(block)
                block.clear()
        if block:
            yield bytes(block)

    count = None if total is None else -(-(total - begun) // _BLOCK)
    yield from progress(read(), f"downloading {name}", total=count, unit="MB")


def _read_note(note: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(note.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}


def recorded_path(source: str) -> Path | None:
    """Return the file that was downloaded from a source, if it is still there."""
    path = Path(str(_read_note(record_of(source)).get("path", "")))
    return path if path.is_file() else None


def record_digest(path: Path, source: str) -> str:
    """Return the SHA-256 of a file; record it at the first call for this source, and compare it at later ones.

    Args:
        path: The file.
        source: Its address.

    Raises:
        CheckpointError: The file differs from the one that was recorded.
    """
    digest = hash_file(path)
    record = record_of(source)
    known = _read_note(record).get("sha256")
    if known is None:
        write_atomic(record, json.dumps({"source": source, "sha256": digest, "path": str(path)}))
    elif known != digest:
        # In the cache of the Hub, path is a link, and the Hub's client would link the same file again.
        raise CheckpointError(
            f"{path.resolve()} has the SHA-256 {digest[:16]}…, and at the first download of {source} it was "
            f"{known[:16]}…; remove the file to download it again, or {record} if you trust the new one"
        )
    return digest


def verify_all() -> Iterator[tuple[str, Path, str | None]]:
    """Yield source, file and problem (None if it is the file of the first download) of every recorded file."""
    for record in sorted(record_of("").parent.glob("*.json")):
        known = _read_note(record)
        path = Path(str(known.get("path", "")))
        if not path.is_file():
            yield str(known.get("source")), path, "missing"
        else:
            same = hash_file(path) == known.get("sha256")
            yield str(known.get("source")), path, None if same else "changed"


def record_of(source: str) -> Path:
    """Return the file that records the digest of a source."""
    return cache_home() / "weights" / "digests" / f"{hashlib.sha256(source.encode()).hexdigest()[:24]}.json"


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
