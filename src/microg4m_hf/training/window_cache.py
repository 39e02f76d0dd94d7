"""Resized uint8 windows on disk, so that epochs after the first need no video decoder.

One file per key frame, written whole and renamed: workers and ranks share the folder without locks, and a kill leaves
at most a temporary file that the next run removes. The folder is bounded; what does not fit is decoded each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

_CHECK_EVERY = 64  # writes between two looks at the folder's size


class WindowCache:
    """Get and put windows by key.

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

    def get(self, key: str) -> np.ndarray | None:
        """The window; None when it is not there or not whole."""
        try:
            window = np.load(self._path(key), allow_pickle=False)
        except (FileNotFoundError, ValueError, EOFError):
            return None
        return window if window.dtype == np.uint8 and window.ndim == 4 else None

    def put(self, key: str, window: np.ndarray) -> None:
        """Keep a window if it fits; a full disk or a full cache is no error, only slower."""
        if self._writes_left <= 0:
            self._free = self.limit - sum(entry.stat().st_size for entry in os.scandir(self.folder))
            # Others write as well: the nearer the limit, the more often the folder is looked at.
            self._writes_left = max(1, min(_CHECK_EVERY, self._free // (_CHECK_EVERY * max(1, window.nbytes))))
        if window.nbytes > self._free:
            return
        target = self._path(key)
        name = ""
        try:
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                np.save(file, window, allow_pickle=False)
            os.replace(name, target)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name)
            self._free = 0
            return
        self._free -= window.nbytes
        self._writes_left -= 1

    def clean(self) -> None:
        """Remove what a killed process left half-written; call it on one process before work begins."""
        for part in self.folder.glob("*.part"):
            part.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
