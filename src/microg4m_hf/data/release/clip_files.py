"""Where a clip's file is, and whether it is a whole mp4 file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...errors import ClipError
from ..video.mp4 import check_mp4_complete
from ..video.probe import read_frame_size
from .faults import ErrorPolicy
from .layout import DOMAIN_FOLDERS, Layout, inside

_OUTSIDE = "the clip is behind a link that leads out of the folder"


def clip_path(videos: Path, domain: str, source: str, video_id: str) -> Path:
    """The released place of a clip below the folder that holds ``movie/`` and ``real/``.

    >>> clip_path(Path("videos"), "movie", "ISS", "ISS_004").as_posix()
    'videos/movie/ISS/ISS_004.mp4'
    """
    return videos / domain / source / f"{video_id}.mp4"


def clip_paths(videos: Path, clips: pa.Table) -> list[Path]:
    """The places of all clips of a clip table."""
    return [Path(name) for name in _names(videos, clips)]


def _names(videos: Path, clips: pa.Table) -> list[str]:
    columns = (clips[name].to_pylist() for name in ("domain", "source", "video_id"))
    return [f"{videos}/{domain}/{source}/{video_id}.mp4" for domain, source, video_id in zip(*columns, strict=True)]


def check_clip_files(layout: Layout, clips: pa.Table, policy: ErrorPolicy, *, deep: bool = False) -> np.ndarray:
    """A mask of the clips whose file is missing, leads out of the folder or is no whole mp4 file.

    The outermost boxes of a file say whether it is whole, and thousands of files are looked at in a moment;
    ``deep`` reads the whole index of each.
    """
    left_out = np.zeros(len(clips), dtype=bool)
    folders: dict[str, bool] = {}  # whether a folder of clips is inside the release; there are few of them
    # Only where opening can refuse a link is the quick look safe.
    look = _look_deep if deep or not hasattr(os, "O_NOFOLLOW") else _look
    for place, name in enumerate(_names(layout.require("videos"), clips)):
        folder = name.rpartition("/")[0]
        if folder not in folders:
            folders[folder] = inside(Path(folder), layout.allowed)
        if not folders[folder]:
            fault: str | None = _OUTSIDE
        else:
            fault = look(name, layout)
        if fault:
            left_out[place] = True
            policy.report(layout.name(Path(name)), None, clips["video_id"][place].as_py(), fault)
    return left_out


def _look(name: str, layout: Layout) -> str | None:
    try:
        # Not blocking: a pipe under a clip's name would wait for ever.
        with open(name, "rb", buffering=0, opener=_open_no_link) as file:
            check_mp4_complete(file, name)
    except ClipError as error:
        return f"the clip cannot be read: {error}"
    except OSError:
        return _look_deep(name, layout)  # a link, a folder, or nothing: rare, so it may take its time
    return None


def _open_no_link(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _look_deep(name: str, layout: Layout) -> str | None:
    path = Path(name)
    if path.is_symlink() and not inside(path, layout.allowed):
        return _OUTSIDE
    if not path.is_file():
        return "the clip is missing"
    try:
        read_frame_size(path)
    except ClipError as error:
        return f"the clip cannot be read: {error}"
    return None


# Which clips lie in a release's ``videos`` folder, found by listing it once.


class ListedClip(NamedTuple):
    """One video file; ``path`` is absolute when the listed folder is."""

    video_id: str
    path: str
    size: int


def list_clips(videos: str | os.PathLike[str]) -> Iterator[ListedClip]:
    """The ``.mp4`` files of ``videos/{movie,real}/<source>/``, in no particular order.

    >>> import tempfile
    >>> list(list_clips(tempfile.mkdtemp()))
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
