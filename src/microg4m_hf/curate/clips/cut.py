"""Cut a film into clips of equal length, bit for bit the same each time, and go on where a killed process stopped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ...errors import ClipError
from ...scratch import remove_abandoned, scratch_file
from ...storage import write_atomic
from ..protocols import CutSettings
from ..work import Source, Work
from .films import hash_file, open_film, pictures

_KEY = ".cut"  # names the settings that the clips of a folder were cut with


def cut_source(work: Work, source: Source) -> dict[str, Any]:
    """Cut a film and return the record of the stage ``cut``: its clips, and the pictures at its end that fill none.

    A clip that a killed process finished is not encoded again.

    Args:
        work: The work folder.
        source: The film.

    Raises:
        ClipError: If the film was changed since `init_work`, or cannot be decoded.
    """
    settings, path = work.settings.cut, Path(source.path)
    if hash_file(path) != source.sha256:
        raise ClipError(f"{path}: the film was changed after `microg4m curate init`; run init again")
    folder = _claim(work, source)
    clips: list[dict[str, Any]] = []
    pending: list[Any] = []
    total = 0
    with open_film(path) as film:
        for number, picture in pictures(film, path, settings.fps, settings.height):
            pending.append(picture)
            total = number + 1
            if len(pending) == settings.frames:
                video_id = f"{source.source}_{len(clips):03}"
                target = folder / f"{video_id}.mp4"
                data = target.read_bytes() if target.is_file() else _write_clip(target, pending, settings)
                size = {"width": picture.width, "height": picture.height}
                clips.append({"id": video_id, "sha256": hashlib.sha256(data).hexdigest(), **size})
                pending = []
    if not total:
        raise ClipError.damaged(path, "shows no pictures")
    return {"status": "ok", "result": clips, "pictures": total, "rest": len(pending)}


def is_cut(work: Work, source: Source) -> bool:
    """Return whether the folder of a film holds clips that were cut with the current settings."""
    return _read_key(work.folder / "clips" / source.source) == _key_of(work, source)


def _key_of(work: Work, source: Source) -> str:
    return f"{work.settings.key('cut')}-{source.sha256[:16]}"


def _read_key(folder: Path) -> str:
    try:
        return (folder / _KEY).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _claim(work: Work, source: Source) -> Path:
    """Return the folder of a film's clips, after setting aside clips that were cut with other settings."""
    folder, key = work.folder / "clips" / source.source, _key_of(work, source)
    present = _read_key(folder)
    if present == key:
        return folder
    older = work.folder / "older" / "clips"
    if folder.is_dir() and any(folder.iterdir()):
        older.mkdir(parents=True, exist_ok=True)
        os.replace(folder, older / f"{source.source}.{present or 'unknown'}")
    elif folder.is_dir():
        folder.rmdir()
    back = older / f"{source.source}.{key}"
    if back.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.replace(back, folder)
    else:
        folder.mkdir(parents=True)
        write_atomic(folder / _KEY, key + "\n")
    return folder


def _write_clip(target: Path, frames: Iterable[Any], settings: CutSettings) -> bytes:
    remove_abandoned(target)
    with scratch_file(target) as scratch:
        encode_clip(scratch, frames, settings)
        data = scratch.read_bytes()
        write_atomic(target, data)
    return data


def encode_clip(path: Path, frames: Iterable[Any], settings: CutSettings) -> None:
    """Write yuv420p frames as an mp4 file with the index in front.

    x264 gives the same bytes each time in one thread and without mbtree only.

    Args:
        path: The file.
        frames: Frames of PyAV.
        settings: Rate, quality and preset.
    """
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(settings.fps))
        context: Any = stream.codec_context
        context.thread_count = 1
        stream.options = {
            "crf": str(settings.crf), "preset": settings.preset, "threads": "1", "x264-params": "mbtree=0",
        }  # fmt: skip
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            if not context.is_open:
                stream.width, stream.height = frame.width, frame.height
                context.time_base = Fraction(1, settings.fps)
                for name in ("color_primaries", "color_trc", "colorspace", "color_range"):
                    setattr(context, name, getattr(frame, name))
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, settings.fps), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
