"""The cache folder, and writing files and folders atomically, so that an interrupted program leaves nothing partial."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .scratch import owned, remove_abandoned, scratch_file, scratch_folder


def cache_home() -> Path:
    """Return the folder for generated and unpacked files: ``$MICROG4M_HOME``, else ``~/.cache/microg4m``.

    >>> cache_home().name != ""
    True
    """
    explicit = os.environ.get("MICROG4M_HOME")
    if explicit:
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "microg4m"


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file completely or not at all: to a temporary file beside it, which is then renamed.

    Args:
        path: The file to write; its folder is created if needed.
        content: Text is written as UTF-8.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "scores.json"
        >>> write_atomic(target, "{}").read_text()
        '{}'
    """
    target = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    remove_abandoned(target)
    with scratch_file(target) as scratch:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(scratch, 0o666 & ~_umask())
        os.replace(scratch, target)
        _sync(target.parent)
    return target


@contextlib.contextmanager
def atomic_folder(target: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Yield a scratch folder that is renamed to ``target`` when the block ends without an error.

    Its files are on the disk before it is renamed, so a folder with the final name is complete, also after a power
    failure. What killed processes left of the same target is removed.

    Args:
        target: The folder to create.
        replace: Replace an existing ``target``, in one step where the operating system can. By default it is kept and
            the new folder is deleted, so that of two processes the first one to finish wins.
    """
    final = Path(target)
    _restore(final)
    remove_abandoned(final)
    with scratch_folder(final) as scratch:
        yield scratch
        os.chmod(scratch, 0o777 & ~_umask())
        sync_tree(scratch)
        if not (replace and final.is_dir()):
            try:
                os.rename(scratch, final)
            except OSError:
                if not final.is_dir():
                    raise
        elif not _exchange(scratch, final):
            older = _older(final)
            with owned(final):
                os.rename(final, older)
                os.rename(scratch, final)
                shutil.rmtree(older, ignore_errors=True)
        _sync(final.parent)


def _older(final: Path) -> Path:
    return final.with_name(f".{final.name[:60]}.older")


def _restore(final: Path) -> None:
    """Rename the old folder back if a kill in :func:`atomic_folder` left it under its second name."""
    older = _older(final)
    if older.is_dir():
        with owned(older) as is_abandoned:
            if is_abandoned and final.exists():
                shutil.rmtree(older, ignore_errors=True)
            elif is_abandoned:
                os.rename(older, final)


def sync_tree(folder: Path) -> None:
    """Wait until all files of a folder are on the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def _sync(path: Path) -> None:
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not is_folder or error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems sync no folders
            raise
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the operating system or the file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):  # not Linux
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
