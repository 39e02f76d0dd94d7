"""Read what the header of a clip states, without decoding and, for mp4, without a decoder installed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ClipError
from .index import check_frame_size, read_index
from .mp4 import Matrix, Track, displayed_size, is_mp4, parse_display_matrix, read_mp4, rotation_degrees
from .source import ClipSource, as_source

# Codec tag in mp4 files -> FFmpeg's name of the codec.
_TAGS = {"avc1": "h264", "avc3": "h264", "hvc1": "hevc", "hev1": "hevc", "av01": "av1", "vp09": "vp9", "mp4v": "mpeg4"}


@dataclass(frozen=True)
class ClipInfo:
    """The header of a clip. ``frames_in_header`` is a claim: ``len(open_clip(...))`` counts the frames shown."""

    width: int  # as displayed, after rotation
    height: int
    fps: float  # 0.0 where the header does not state it
    frames_in_header: int  # includes frames that an edit list hides; 0 for fragmented files
    duration: float  # seconds, as the header claims
    rotation: int  # clockwise degrees by which a player rotates the stored frame: 0, 90, 180 or 270
    codec: str


def probe(source: Any) -> ClipInfo:
    """Read the header of a clip.

    It finds missing, empty, truncated and foreign files at once, but no damage inside the encoded frames.

    Args:
        source: A path, bytes, or a row's ``{"path", "bytes"}``.

    Returns:
        What the header states.

    Raises:
        ClipError: The file cannot be a clip; the message names it and the reason.

    Example:
        >>> probe("missing.mp4")
        Traceback (most recent call last):
        ...
        microg4m_hf.errors.ClipError: missing.mp4: No such file or directory
    """
    clip = as_source(source)
    track = _read_mp4_track(clip)
    if track is not None and all((track.samples, track.timescale, track.width, track.height)):
        width, height, matrix = _read_geometry(track, clip.name)
        duration = (track.summed_duration or track.duration) / track.timescale
        fps, frames = (track.samples / duration if duration else 0.0), track.samples
        codec = _TAGS.get(track.codec, track.codec)
    else:
        index = read_index(clip)
        matrix = index.matrix
        width, height = displayed_size(index.width, index.height, matrix)
        fps, frames, codec = float(index.header_fps or 0), len(index.packets), index.codec.name
        duration = float((index.pts[-1] - index.pts[0]) * index.time_base) + (1 / fps if fps else 0.0)
    return ClipInfo(width, height, fps, frames, duration, rotation_degrees(matrix), codec)


def read_frame_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (width, height) of the displayed frames from the header of an mp4 file.

    Args:
        path: The mp4 file.

    Raises:
        ClipError: The file cannot be opened, is not an mp4 file, or states no frame size.

    Example:
        >>> import tempfile
        >>> junk = Path(tempfile.mkdtemp()) / "clip.mp4"
        >>> _ = junk.write_bytes(b"not a video")
        >>> read_frame_size(junk)
        Traceback (most recent call last):
        microg4m_hf.errors.ClipError: ...clip.mp4: does not begin like an mp4 file; download or copy it again
    """
    clip = ClipSource(str(path), path=Path(path))
    track = _read_mp4_track(clip)
    if track is None:
        raise ClipError.damaged(clip.name, "does not begin like an mp4 file")
    return _read_geometry(track, clip.name)[:2]


def _read_mp4_track(clip: ClipSource) -> Track | None:
    with clip.open() as file:
        return read_mp4(file, clip.name) if is_mp4(file) else None


def _read_geometry(track: Track, name: str) -> tuple[int, int, Matrix]:
    """Return the displayed width and height, and the display matrix reduced to signs."""
    if track.width < 1 or track.height < 1:
        raise ClipError.damaged(name, "its header states no frame size")
    check_frame_size(name, track.width, track.height)
    matrix = parse_display_matrix(track.matrix, name)
    return *displayed_size(track.width, track.height, matrix), matrix
