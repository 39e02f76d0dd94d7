"""What the cache of ``datasets`` goes by: a hash of the data in use and of the code that reads it."""

from __future__ import annotations

import functools
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .._version import __version__
from .clip_listing import listed_clips
from .layout import FILE_NAMES, Layout

_NOT_READ = {"har": {"texts"}, "caption": {"boxes"}, "vqa": {"boxes"}}


@functools.cache
def code_fingerprint() -> str:
    """A hash of the version and of every source file that can change a row.

    >>> len(code_fingerprint())
    64
    """
    folder = Path(__file__).parent
    digest = hashlib.sha256(__version__.encode())
    rules = [folder.parent / name for name in ("clip_ids.py", "taxonomy.py")]
    for path in sorted([*folder.rglob("*.py"), *rules]):
        digest.update(path.relative_to(folder.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def data_fingerprint(layout: Layout, config: str, *, videos: bool) -> str:
    """A hash of the annotation files that a config reads and, with ``videos``, of the names and sizes of the clips."""
    names = sorted(FILE_NAMES.keys() - _NOT_READ[config])
    paths = [path for name in names if (path := getattr(layout, name)) is not None]
    digest = hashlib.sha256(config.encode())
    with ThreadPoolExecutor(2) as pool:  # hashing leaves the interpreter lock alone
        clips = pool.submit(_clips_fingerprint, layout.videos) if videos and layout.videos else None
        for path, content in zip(paths, pool.map(_file_fingerprint, paths), strict=True):
            digest.update(f"{layout.name(path)}\0{content}\n".encode())
        if clips:
            digest.update(f"{layout.videos}\0{clips.result()}\n".encode())
    return digest.hexdigest()


def _file_fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _clips_fingerprint(videos: Path) -> str:
    lines = sorted(f"{clip.path}\0{clip.size}" for clip in listed_clips(videos))
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()
