"""The frames a model is shown, with the times they are shown at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import every, open_clip, uniform
from ..errors import RecipeError


def middles(n_frames: int, count: int) -> NDArray[np.int64]:
    """The middle frames of ``count`` equal parts.

    >>> middles(90, 3).tolist()
    [15, 45, 75]
    """
    return ((np.arange(count) + 0.5) * n_frames / count).astype(np.int64)


FRAME_SAMPLINGS: dict[str, Callable[[int, int], NDArray[np.int64]]] = {
    "uniform": uniform,  # evenly from the first to the last
    "middles": middles,
    "every": lambda n_frames, _: every(n_frames),
}


@dataclass(frozen=True)
class SampledFrames:
    """Frames (n, height, width, 3) and what a video processor has to know about them."""

    frames: NDArray[np.uint8]
    metadata: dict[str, Any]


def read_frames(video: Any, count: int, pick: str) -> SampledFrames:
    """Read the frames of a clip that a plan picks.

    Processors compute the time of a frame as its number over the frame rate. In clips of varying rate that is wrong,
    so the numbers given are those the frames would have at a steady rate: the same ones where the rate is steady.
    """
    with open_clip(video) as clip:
        indices = get_frame_sampling(pick)(len(clip), count)
        times = clip.times(indices) - clip.times([0])[0]
        fps = clip.fps or 1.0
        metadata = {
            "fps": fps,
            "total_num_frames": len(clip),
            "duration": len(clip) / fps,
            "frames_indices": [round(float(time) * fps) for time in times],
            "height": clip.height,
            "width": clip.width,
        }
        return SampledFrames(clip.frames(indices.tolist()), metadata)


def get_frame_sampling(pick: str) -> Callable[[int, int], NDArray[np.int64]]:
    """A plan by name.

    >>> get_frame_sampling("uniform")(90, 3).tolist()
    [0, 44, 89]
    """
    if pick not in FRAME_SAMPLINGS:
        raise RecipeError(f"frames cannot be picked as {pick!r}; choose one of {', '.join(FRAME_SAMPLINGS)}")
    return FRAME_SAMPLINGS[pick]
