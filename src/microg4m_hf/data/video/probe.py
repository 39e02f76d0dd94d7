"""What a clip's header says, without decoding and, for mp4, without any decoder installed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ClipError
from .index import check_size, degrees, read_index, turn_of
from .mp4 import Track, is_mp4, read_mp4
from .source import as_source

# What mp4 calls a codec -> its usual name.
_CODEC_OF = {
    "avc1": "h264",
    "avc3": "h264",
    "hvc1": "hevc",
    "hev1": "hevc",
    "av01": "av1",
    "vp09": "vp9",
    "mp4v": "mpeg4",
}


@dataclass(frozen=True)
class ClipInfo:
    """A clip's header. ``frames_in_header`` is a claim: ``len(open_clip(...))`` counts the frames really shown."""

    width: int
    """As shown, after turning."""
    height: int
    fps: float
    """0.0 where the header does not say."""
    frames_in_header: int
    """Including frames that an edit list hides; 0 for fragmented files."""
    duration: float
    """Seconds, as the header claims."""
    rotation: int
    """Clockwise degrees that a player turns the stored picture by: 0, 90, 180 or 270."""
    codec: str


def probe(source: Any) -> ClipInfo:
    """Read the header of a clip (path, bytes or row); a ``ClipError`` says why it cannot be a clip.

    It finds missing, empty, cut-off and foreign files at once, but no damage inside the picture data.

    >>> probe("missing.mp4")
    Traceback (most recent call last):
    ...
    microg4m_hf.errors.ClipError: missing.mp4: No such file or directory
    """
    given = as_source(source)
    with given.open() as file:
        track = read_mp4(file, given.name) if is_mp4(file) else None
    if track is not None and track.samples and track.timescale:
        check_size(given.name, track.width, track.height)
        return _from_track(track, given.name)
    index = read_index(given)
    span = float((index.times[-1] - index.times[0]) * index.time_base)
    fps = float(index.rate) if index.rate else 0.0
    duration = span + (1 / fps if fps else 0.0)
    return _info(index.width, index.height, index.turn, fps, len(index.packets), duration, index.codec.name)


def _from_track(track: Track, name: str) -> ClipInfo:
    duration = (track.summed or track.duration) / track.timescale
    fps = track.samples / duration if duration else 0.0
    turn = turn_of(track.matrix, name)
    codec = _CODEC_OF.get(track.codec, track.codec)
    return _info(track.width, track.height, turn, fps, track.samples, duration, codec)


def _info(
    width: int, height: int, turn: tuple[int, int, int, int], fps: float, frames: int, duration: float, codec: str
) -> ClipInfo:
    if turn[1]:
        width, height = height, width
    return ClipInfo(width, height, fps, frames, duration, degrees(turn), codec)


# Width and height of an mp4 file from its header, without a decoder.


def read_frame_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of the shown frames; a clip that its header turns by a quarter has them swapped.

    >>> import tempfile
    >>> junk = Path(tempfile.mkdtemp()) / "clip.mp4"
    >>> _ = junk.write_bytes(b"not a video")
    >>> read_frame_size(junk)
    Traceback (most recent call last):
    microg4m_hf.errors.ClipError: ...clip.mp4: does not begin like an mp4 file
    """
    file = Path(path)
    try:
        with open(file, "rb") as stream:
            if not is_mp4(stream):
                raise ClipError(f"{file}: does not begin like an mp4 file")
            track = read_mp4(stream, str(file))
    except OSError as error:
        raise ClipError(f"{file}: cannot be opened ({error.strerror or error})") from error
    if track.width < 1 or track.height < 1:
        raise ClipError(f"{file}: its header says no size")
    across, turned, _, _ = track.matrix
    return (track.height, track.width) if turned and not across else (track.width, track.height)
