"""Width and height of an mp4 file from its header, without a decoder."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ClipError
from .decode.mp4 import is_mp4, read_mp4


def frame_size_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of the shown frames; a clip that its header turns by a quarter has them swapped.

    >>> import tempfile
    >>> junk = Path(tempfile.mkdtemp()) / "clip.mp4"
    >>> _ = junk.write_bytes(b"not a video")
    >>> frame_size_of(junk)
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
