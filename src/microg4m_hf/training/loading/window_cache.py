"""A cache of decoded windows on disk: epochs after the first need not decode a whole clip for some of its frames.

There is one file per key frame, renamed when complete, so workers and ranks share the folder without locks. A kill
leaves at most a temporary file, which the next run removes. What does not fit into the size limit is decoded each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

import numpy as np

from ...scratch import remove_all_abandoned, scratch_file

_FULL = "full"  # an empty file, so that one process says it
_CHECK_EVERY = 64  # writes between two measurements of the folder


class WindowCache:
    """Windows by key, in a folder of at most ``limit_gb``.

    >>> import tempfile
    >>> cache = WindowCache(tempfile.mkdtemp(), limit_gb=0.1)
    >>> cache.put("a_001 52", np.zeros((2, 4, 4, 3), np.uint8))
    >>> cache.get("a_001 52").shape
    (2, 4, 4, 3)
    """

    def __init__(self, folder: str | os.PathLike[str], limit_gb: float) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.limit = int(limit_gb * 1e9)
        self._free = 0
        self._writes_left = 0
        self._is_full = False

    def get(self, key: str) -> np.ndarray | None:
        """Return a window, mapped into memory, or None if it is absent or incomplete."""
        try:
            # Not as a `memmap`, whose slices take ten times as long.
            window = np.asarray(np.load(self._path(key), mmap_mode="r", allow_pickle=False))
        except (FileNotFoundError, ValueError, EOFError):
            return None
        return window

    def put(self, key: str, window: np.ndarray) -> None:
        """Store a window if it fits. A full disk or a full cache is not an error, only slower, and is said once."""
        if self._writes_left <= 0:
            self._free = self.limit - self._measure()
            # Other processes write as well: near the limit, measure the folder more often.
            self._writes_left = max(1, min(_CHECK_EVERY, self._free // (_CHECK_EVERY * max(1, window.nbytes))))
        if window.nbytes > self._free:
            self._say_full(f"{self.limit / 1e9:g} GB are used; raise data.cache_gb to keep more windows")
            return
        target = self._path(key)
        try:
            with scratch_file(target) as scratch:
                with scratch.open("wb") as file:
                    np.save(file, window, allow_pickle=False)
                os.replace(scratch, target)
        except OSError as error:
            self._free = 0
            self._say_full(f"{error.strerror or error}")
            return
        self._free -= window.nbytes
        self._writes_left -= 1

    def clean(self) -> None:
        """Remove incomplete files of killed processes, and the note that the cache is full."""
        remove_all_abandoned(self.folder)
        (self.folder / _FULL).unlink(missing_ok=True)

    def _measure(self) -> int:
        """Return the bytes in the folder, of which other processes rename files meanwhile."""
        used = 0
        for entry in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):
                used += entry.stat().st_size
        return used

    def _say_full(self, reason: str) -> None:
        """Print that nothing more is stored; of all processes, the one that creates the note does."""
        if self._is_full:
            return
        self._is_full = True
        try:
            (self.folder / _FULL).touch(exist_ok=False)
        except FileExistsError:
            return
        except OSError:
            pass  # the disk is so full that every process says it
        print(f"data.cache is full ({self.folder}: {reason}); other clips are decoded each time", file=sys.stderr)

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
