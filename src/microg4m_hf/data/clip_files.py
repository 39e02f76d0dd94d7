"""Where a clip's file is, and whether it is a whole mp4 file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import ClipError
from .layout import Layout, inside
from .mp4_header import frame_size_of
from .problems import Faults


def clip_path(videos: Path, domain: str, source: str, video_id: str) -> Path:
    """The released place of a clip below the folder that holds ``movie/`` and ``real/``.

    >>> clip_path(Path("videos"), "movie", "ISS", "ISS_004").as_posix()
    'videos/movie/ISS/ISS_004.mp4'
    """
    return videos / domain / source / f"{video_id}.mp4"


def clip_paths(videos: Path, clips: pa.Table) -> list[Path]:
    """The places of all clips of a clip table."""
    columns = (clips[name].to_pylist() for name in ("domain", "source", "video_id"))
    return [clip_path(videos, *row) for row in zip(*columns, strict=True)]


def check_clip_files(layout: Layout, clips: pa.Table, faults: Faults) -> np.ndarray:
    """A mask of the clips whose file is missing, leads out of the folder or is no whole mp4 file."""
    left_out = np.zeros(len(clips), dtype=bool)
    folders: dict[Path, bool] = {}  # whether a folder of clips is inside the release; there are few of them
    for place, path in enumerate(clip_paths(layout.require("videos"), clips)):
        if path.parent not in folders:
            folders[path.parent] = inside(path.parent, layout.allowed)
        fault = _fault_of(path, layout, folders[path.parent])
        if fault:
            left_out[place] = True
            faults.add(layout.name(path), None, clips["video_id"][place].as_py(), fault)
    return left_out


def _fault_of(path: Path, layout: Layout, folder_is_inside: bool) -> str | None:
    if not folder_is_inside or (path.is_symlink() and not inside(path, layout.allowed)):
        return "the clip is behind a link that leads out of the folder"
    if not path.is_file():
        return "the clip is missing"
    try:
        frame_size_of(path)
    except ClipError as error:
        return f"the clip cannot be read: {error}"
    return None
