"""Finished items on disk, one JSON line each, one file per process: kill -9 loses at most the item in work.

Any number of processes may go on with the work of any other number: all files of the folder are read, each process
appends to its own. A line cut off by a kill is dropped before anything is appended after it.
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
    """The journal of a run. Inside ``with`` it belongs to this process; anybody may read at any time.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with Journal(folder, "abc", rank=0) as journal:
    ...     journal.add({"id": "a_001", "status": "ok", "text": "Two people float."})
    >>> sorted(Journal(folder, "abc").records())
    ['a_001']
    """

    def __init__(self, folder: str | os.PathLike[str], fingerprint: str, rank: int = 0) -> None:
        self.folder = Path(folder)
        self.fingerprint = fingerprint
        self._path = self.folder / f"items.rank{rank}.jsonl"
        self._file: Any = None
        self._lock = FileLock(self.folder / f".items.rank{rank}.lock")

    def records(self) -> dict[str, dict[str, Any]]:
        """The last word on each item under these settings, by item id, from all processes' files."""
        found: dict[str, dict[str, Any]] = {}
        for record in self.everything():
            # A success of one process is not undone by an earlier failure that another one wrote down.
            if found.get(record["id"], {}).get("status") != "ok":
                found[record["id"]] = record
        return found

    def everything(self) -> Iterator[dict[str, Any]]:
        """All records under these settings, also those of tries that failed and were repeated."""
        for path in sorted(self.folder.glob("items.rank*.jsonl")):
            for record in _lines(path):
                if record.get("run") == self.fingerprint and _sound(record):
                    yield record

    def add(self, record: dict[str, Any]) -> None:
        """Append one finished item; it is in the file when this returns."""
        line = json.dumps({"run": self.fingerprint, **record}, ensure_ascii=False)
        self._file.write(line + "\n")
        self._file.flush()

    def __enter__(self) -> Journal:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)  # the system lets go of it when the process dies, however it dies
        except Timeout:
            raise RecipeError(
                f"another process is working on {self._path}; wait for it, stop it, or give --out another folder"
            ) from None
        _cut_torn_tail(self._path)
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._lock.release()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue  # cut off in mid-write
            if isinstance(record, dict) and line.endswith(b"\n"):
                yield record


def _sound(record: dict[str, Any]) -> bool:
    """Whether the rest of the library can rely on a record; the file may have been edited."""
    if not isinstance(record.get("id"), str):
        return False
    return isinstance(record.get("text"), str) if record.get("status") == "ok" else record.get("status") == "failed"


def _cut_torn_tail(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        write_atomic(path, whole)
