"""Find the files of the clips, and check that each is a complete mp4 file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...errors import ClipError
from ..video.mp4 import check_mp4_complete
from ..video.probe import read_frame_size
from .faults import ErrorPolicy
from .layout import DOMAIN_FOLDERS, Layout, inside

_OUTSIDE = "the clip is behind a link that leads out of the folder"


def clip_path(videos: Path, domain: str, source: str, video_id: str) -> Path:
    """Return the path of a clip in a release.

    Args:
        videos: The folder that contains ``movie/`` and ``real/``.
        domain: ``"movie"`` or ``"real"``.
        source: The film or video that the clip was cut from.
        video_id: The clip.

    Example:
        >>> clip_path(Path("videos"), "movie", "ISS", "ISS_004").as_posix()
        'videos/movie/ISS/ISS_004.mp4'
    """
    return videos / domain / source / f"{video_id}.mp4"


def check_clip_files(layout: Layout, clips: pa.Table, policy: ErrorPolicy, *, deep: bool = False) -> np.ndarray:
    """Return a mask of the clips whose file is missing, outside the release or not a complete mp4 file.

    The top-level boxes of a file tell whether it is complete, which takes microseconds per file; ``deep`` reads the
    whole index of each.
    """
    left_out = np.zeros(len(clips), dtype=bool)
    is_inside: dict[str, bool] = {}  # by folder, as there are few of them
    # The quick check is safe only if opening a file can refuse a link.
    look = _check_deep if deep or not hasattr(os, "O_NOFOLLOW") else _check_quick
    videos = layout.require("videos")
    columns = (clips[name].to_pylist() for name in ("domain", "source", "video_id"))
    for place, (domain, source, video_id) in enumerate(zip(*columns, strict=True)):
        folder = f"{videos}/{domain}/{source}"
        if folder not in is_inside:
            is_inside[folder] = inside(Path(folder), layout.allowed)
        name = f"{folder}/{video_id}.mp4"
        reason = look(name, layout) if is_inside[folder] else _OUTSIDE
        if reason:
            left_out[place] = True
            policy.report(layout.name(Path(name)), None, video_id, reason)
    return left_out


def _check_quick(name: str, layout: Layout) -> str | None:
    # Not blocking: opening a pipe that has the name of a clip would never return.
    flags = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(name, "rb", buffering=0, opener=lambda path, mode: os.open(path, mode | flags)) as file:
            check_mp4_complete(file, name)
    except ClipError as error:
        return f"the clip cannot be read: {error}"
    except OSError:
        return _check_deep(name, layout)  # a link, a folder, or nothing: rare, so it may be slow
    return None


def _check_deep(name: str, layout: Layout) -> str | None:
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


def list_clips(videos: str | os.PathLike[str]) -> Iterator[tuple[str, int]]:
    """Yield path and size of the ``.mp4`` files of ``videos/{movie,real}/<source>/``, in no particular order.

    Example:
        >>> import tempfile
        >>> list(list_clips(tempfile.mkdtemp()))
        []
    """
    domains = (os.path.join(videos, name) for name in DOMAIN_FOLDERS)
    sources = (entry for folder in domains if os.path.isdir(folder) for entry in os.scandir(folder))
    for entry in (entry for source in sources if source.is_dir() for entry in os.scandir(source)):
        if entry.name.endswith(".mp4") and not entry.name.startswith("."):
            try:
                size = entry.stat().st_size
            except FileNotFoundError:  # a broken link
                continue
            yield entry.path, size
