"""The frames of a video that a model sees: a window around a key frame."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import ClipError

# The length of a video is known when it has been read; until then nothing is clamped at its end.
_UNKNOWN_LENGTH = 2**62


def window_indices(center: int, num_frames: int, sampling_rate: int, total: int) -> list[int]:
    """Frame numbers (from 0) around ``center`` as the published pipeline takes them; the borders repeat.

    >>> window_indices(4, 4, 2, 90), window_indices(0, 4, 2, 90), window_indices(89, 4, 2, 90)
    ([0, 2, 4, 6], [0, 0, 0, 2], [85, 87, 89, 89])
    """
    half = num_frames * sampling_rate // 2
    wanted = range(center - half, center + half, sampling_rate)
    return [min(max(i, 0), total - 1) for i in wanted]


def read_window(
    path: str | os.PathLike[str], num_frames: int, sampling_rate: int, center: int | None = None
) -> np.ndarray:
    """The window of a video file as RGB frames (T, H, W, 3); without ``center`` around its middle."""
    import av

    if not Path(path).is_file():
        raise ClipError(f"{path}: no such file; give the path of a video file or an array of frames (T, H, W, 3)")
    try:
        if center is None:
            center = _count(path) // 2
        wanted = window_indices(center, num_frames, sampling_rate, _UNKNOWN_LENGTH)
        needed, last = set(wanted), max(wanted)
        frames: dict[int, np.ndarray] = {}
        final = None
        with av.open(os.fspath(path)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                final = (number, frame)
                if number in needed:
                    frames[number] = frame.to_ndarray(format="rgb24")
                if number >= last:
                    break
        if final is None:
            raise ClipError(f"{path}: holds no frame")
        number, frame = final
        if number < last:
            frames[number] = frame.to_ndarray(format="rgb24")
        return np.stack([frames[min(i, number)] for i in wanted])
    except (av.FFmpegError, IndexError) as error:
        raise ClipError(f"{path}: cannot be read as a video ({error})") from error


def _count(path: str | os.PathLike[str]) -> int:
    """Frames of a video, counted: headers lie."""
    import av

    with av.open(os.fspath(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))
