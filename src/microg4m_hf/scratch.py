"""Temporary files and folders that are named after their target, and locks that end with their process.

The scratch of ``report`` is called ``.report.<machine>-<random>.part``, and the process that writes it holds a lock on
it. The operating system releases the lock however the process ends, so whoever writes the same target next can tell
scratch that is in use from scratch that a kill left behind, and removes the latter. Scratch of another machine, and
scratch on a file system without locks, is removed when it is a day old.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".part"
_MACHINE = re.sub(r"[^A-Za-z0-9]", "_", platform.node())[:24] or "unknown"
_NAMED = re.compile(r"\.(?P<target>.+)\.(?P<machine>[A-Za-z0-9_]{1,24})-[a-z0-9_]{8}\.part", re.DOTALL)
_MAX_AGE = 86400.0  # seconds

# Descriptors that hold locks. A forked process closes its copies: otherwise a DataLoader worker that outlives a killed
# training for some seconds would keep its lock.
_held: set[int] = set()


def _close_inherited_locks() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited_locks)


@contextlib.contextmanager
def scratch_file(target: Path) -> Iterator[Path]:
    """Yield an empty file beside ``target``, which is removed at the end if it is still there.

    Example:
        >>> with scratch_file(Path(tempfile.mkdtemp()) / "scores.json") as scratch:
        ...     scratch.name.startswith(".scores.json."), scratch.suffix
        (True, '.part')
    """
    with _scratch(target, folder=False) as path:
        yield path


@contextlib.contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``, which is removed at the end if it is still there."""
    with _scratch(target, folder=True) as path:
        yield path


@contextlib.contextmanager
def _scratch(target: Path, *, folder: bool) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name[:60]}.{_MACHINE}-"
    while True:
        if folder:
            path = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix, suffix=_SUFFIX))
        else:
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=_SUFFIX)
            os.close(handle)
            path = Path(name)
        with owned(path) as is_ours:
            if not is_ours:  # another process removed it before it was locked
                continue
            try:
                yield path
            finally:
                _remove(path)
            return


@contextlib.contextmanager
def owned(path: Path) -> Iterator[bool]:
    """Hold the lock on a file or folder, also while it is renamed, and yield whether it could be had."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        yield not isinstance(error, FileNotFoundError)  # Windows does not open folders
        return
    _held.add(descriptor)
    try:
        yield _try_lock(descriptor) is not False and _is_same_file(descriptor, path)
    finally:
        _close(descriptor)


def remove_abandoned(target: Path) -> None:
    """Remove what killed processes left of writing ``target``."""
    for path in _entries(target.parent):
        named = _NAMED.fullmatch(path.name)
        if named and named["target"] == target.name[:60]:
            _remove_if_abandoned(path, named["machine"])


def remove_all_abandoned(folder: Path) -> None:
    """Remove the scratch of killed processes in a folder, whatever its target was."""
    for path in _entries(folder):
        if path.name.endswith(_SUFFIX):
            named = _NAMED.fullmatch(path.name)
            _remove_if_abandoned(path, named["machine"] if named else _MACHINE)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold the lock of a lock file, and yield whether this process got it. The file is removed at the end.

    The lock also ends when the process is killed. Where the file system has no locks, every process gets it.

    Example:
        >>> lock = Path(tempfile.mkdtemp()) / ".lock"
        >>> with exclusive(lock) as first, exclusive(lock) as second:
        ...     first, second
        (True, False)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _held.add(descriptor)
        locked = _try_lock(descriptor)
        if locked is False or _is_same_file(descriptor, path):
            break
        _close(descriptor)  # the former owner has just removed the file
    try:
        if locked is not False:
            os.truncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
        yield locked is not False
    finally:
        if locked is not False:
            with contextlib.suppress(OSError):
                path.unlink()
        _close(descriptor)


def _entries(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith(_SUFFIX)]
    except OSError:
        return []


def _remove_if_abandoned(path: Path, machine: str) -> None:
    try:
        found = os.lstat(path)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            return
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:  # removed meanwhile, or of another user
        return
    _held.add(descriptor)
    try:
        locked = _try_lock(descriptor) if machine == _MACHINE else None
        if locked or (locked is None and time.time() - found.st_mtime > _MAX_AGE):
            _remove(path)
    finally:
        _close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _try_lock(descriptor: int) -> bool | None:
    """Return whether the lock was taken; None where it cannot be known."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _close(descriptor: int) -> None:
    if descriptor in _held:
        _held.discard(descriptor)
        os.close(descriptor)
