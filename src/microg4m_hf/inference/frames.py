"""Read the frames of a clip that a model sees, with the metadata that video processors need."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..data import every, open_clip, uniform
from ..data.turns import UPRIGHT, Turn, turn_frames
from ..errors import RecipeError

T = TypeVar("T")
R = TypeVar("R")


def middles(n_frames: int, count: int) -> NDArray[np.int64]:
    """Return the middle frames of ``count`` equal parts.

    >>> middles(90, 3).tolist()
    [15, 45, 75]
    """
    return ((np.arange(count) + 0.5) * n_frames / count).astype(np.int64)


FRAME_SAMPLINGS: dict[str, Callable[[int, int], NDArray[np.int64]]] = {
    "uniform": uniform,  # evenly from the first to the last frame
    "middles": middles,
    "every": lambda n_frames, _: every(n_frames),
}


def get_frame_sampling(name: str) -> Callable[[int, int], NDArray[np.int64]]:
    """Return the function that maps the length of a clip and a number of frames to frame indices.

    Raises:
        RecipeError: There is no sampling called ``name``.

    Example:
        >>> get_frame_sampling("uniform")(90, 3).tolist()
        [0, 44, 89]
    """
    if name not in FRAME_SAMPLINGS:
        raise RecipeError(f"there is no frame sampling {name!r}; choose one of {', '.join(FRAME_SAMPLINGS)}")
    return FRAME_SAMPLINGS[name]


@dataclass(frozen=True)
class SampledFrames:
    """Frames of shape (n, height, width, 3), and the video metadata of ``transformers``."""

    frames: NDArray[np.uint8]
    metadata: dict[str, Any]


def read_frames(video: Any, count: int, frame_sampling: str = "uniform", turn: Turn = UPRIGHT) -> SampledFrames:
    """Decode the sampled frames of a clip.

    Processors compute the timestamp of a frame as its index over the frame rate, which is wrong at a variable frame
    rate. ``frames_indices`` therefore holds the indices that the frames would have at a constant rate.

    Args:
        video: Whatever ``microg4m_hf.data.open_clip`` accepts.
        count: Number of frames; ignored by the sampling ``every``.
        frame_sampling: ``"uniform"``, ``"middles"`` or ``"every"``.
        turn: How to turn the frames.
    """
    with open_clip(video) as clip:
        indices = get_frame_sampling(frame_sampling)(len(clip), count)
        times = clip.times(indices) - clip.times([0])[0]
        fps = clip.fps or 1.0
        frames = np.ascontiguousarray(turn_frames(clip.frames(indices.tolist()), turn))
        metadata = {
            "fps": fps,
            "total_num_frames": len(clip),
            "duration": len(clip) / fps,
            "frames_indices": [round(float(time) * fps) for time in times],
            "height": frames.shape[1],
            "width": frames.shape[2],
        }
        return SampledFrames(frames, metadata)


def prefetch(function: Callable[[T], R], items: Iterable[T], *, workers: int, depth: int) -> Iterator[tuple[T, R]]:
    """Yield every item with ``function(item)``, computed in threads for at most ``depth`` items ahead.

    Decoders and image processors release the GIL, so threads are sufficient.

    >>> list(prefetch(len, ["a", "bc"], workers=1, depth=2))
    [('a', 1), ('bc', 2)]
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="clips")
    waiting: deque[tuple[T, Future[R]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) >= depth:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
