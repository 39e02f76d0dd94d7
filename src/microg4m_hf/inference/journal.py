"""Store finished items on disk: one JSON line per item, one file per process, so ``kill -9`` loses one item at most.

A process reads the files of all processes and appends to its own, so a run can be resumed with any number of
processes. An incomplete last line is removed before anything is appended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import RecipeError
from ..storage import write_atomic


class Journal:
    """The journal of a run. Enter it as a context manager to write; reading works at any time.

    Args:
        folder: The folder of the files.
        fingerprint: The settings; records of other settings are left out.
        rank: The number of this process.
        content: The field with the result of an item: a ``"text"``, or a list such as ``"scores"``.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with Journal(folder, "abc", rank=0) as journal:
    ...     journal.add({"id": "a_001", "status": "ok", "text": "Two people float."})
    >>> sorted(Journal(folder, "abc").records())
    ['a_001']
    """

    def __init__(self, folder: str | os.PathLike[str], fingerprint: str, rank: int = 0, content: str = "text") -> None:
        self.folder = Path(folder)
        self.fingerprint, self.content = fingerprint, content
        self._path = self.folder / f"items.rank{rank}.jsonl"
        self._file: Any = None
        self._lock = FileLock(self.folder / f".items.rank{rank}.lock")

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the latest record of each item with these settings, by item id."""
        latest: dict[str, dict[str, Any]] = {}
        for record in self.all_records():
            # A success is kept even if the file of another process holds an earlier failure.
            known = latest.get(record["id"], {})
            made_again = record["status"] == "ok" and times_made(record) > times_made(known)
            if known.get("status") != "ok" or made_again:
                latest[record["id"]] = record
        return latest

    def all_records(self) -> Iterator[dict[str, Any]]:
        """Yield every record with these settings, including failures that were retried."""
        for path in sorted(self.folder.glob("items.rank*.jsonl")):
            for record in _read_lines(path):
                if record.get("run") == self.fingerprint and _is_valid(record, self.content):
                    yield record

    def is_unused(self) -> bool:
        """Whether nothing is recorded, with any settings, and no process writes to the folder."""
        if any(True for path in self.folder.glob("items.rank*.jsonl") for _ in _read_lines(path)):
            return False
        for path in self.folder.glob(".items.rank*.lock"):
            try:
                with FileLock(path, timeout=0):
                    pass
            except Timeout:
                return False
        return True

    def add(self, record: dict[str, Any]) -> None:
        """Append one finished item and flush it to the file."""
        line = json.dumps({"run": self.fingerprint, **record}, ensure_ascii=False)
        self._file.write(line + "\n")
        self._file.flush()

    def __enter__(self) -> Journal:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)  # the operating system releases it when the process ends
        except Timeout:
            raise RecipeError(
                f"another process is writing to {self._path}; wait for it, stop it, or choose another folder with --out"
            ) from None
        content = self._path.read_bytes() if self._path.exists() else b""
        complete = content[: content.rfind(b"\n") + 1]
        if complete != content:
            write_atomic(self._path, complete)
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with self._file:
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._lock.release()


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue  # incomplete
            if isinstance(record, dict) and line.endswith(b"\n"):
                yield record


def times_made(record: dict[str, Any]) -> int:
    """Return how often an item was done: a success that was made again replaces the one before."""
    times = record.get("times_made", 1)
    return times if isinstance(times, int) else 1


def _is_valid(record: dict[str, Any], content: str) -> bool:
    """Whether a record has the required fields. Users may edit the file."""
    if not isinstance(record.get("id"), str):
        return False
    kind = str if content == "text" else list
    return isinstance(record.get(content), kind) if record.get("status") == "ok" else record.get("status") == "failed"
