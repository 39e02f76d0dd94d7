"""Which clips lie in a release's ``videos`` folder, found by listing it once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from .layout import DOMAIN_FOLDERS


class ListedClip(NamedTuple):
    """One video file; ``path`` is absolute when the listed folder is."""

    video_id: str
    path: str
    size: int


def listed_clips(videos: str | os.PathLike[str]) -> Iterator[ListedClip]:
    """The ``.mp4`` files of ``videos/{movie,real}/<source>/``, in no particular order.

    >>> import tempfile
    >>> list(listed_clips(tempfile.mkdtemp()))
    []
    """
    for domain in DOMAIN_FOLDERS:
        folder = os.path.join(videos, domain)
        if not os.path.isdir(folder):
            continue
        with os.scandir(folder) as sources:
            for source in sources:
                if source.is_dir():
                    yield from _clips_of(source.path)


def _clips_of(folder: str) -> Iterator[ListedClip]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".mp4") and not entry.name.startswith("."):
                try:
                    size = entry.stat().st_size
                except FileNotFoundError:  # a link that leads nowhere is as good as no file
                    continue
                yield ListedClip(entry.name[:-4], entry.path, size)
