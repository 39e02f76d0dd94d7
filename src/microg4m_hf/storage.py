"""The cache folder, and writing files and folders atomically, so that an interrupted program leaves nothing partial."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


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
        >>> target = Path(tempfile.mkdtemp()) / "scores.json"
        >>> write_atomic(target, "{}").read_text()
        '{}'
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    return target


@contextlib.contextmanager
def atomic_folder(target: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Yield a scratch folder that is renamed to ``target`` when the block ends without an error.

    Args:
        target: The folder to create.
        replace: Replace an existing ``target``. By default it is kept and the new folder is deleted, so that of two
            processes the first one to finish wins.
    """
    final = Path(target)
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    try:
        yield scratch
        os.chmod(scratch, 0o777 & ~_umask())
        if replace and final.is_dir():
            older = scratch.with_name(f"{scratch.name}.older")
            os.rename(final, older)
            os.rename(scratch, final)
            shutil.rmtree(older, ignore_errors=True)
            return
        try:
            os.rename(scratch, final)
        except OSError:
            if not final.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
