"""The stage ``shots``: the cuts inside a clip, and what the filter needs to know of its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.video.clip import open_clip
from ...errors import ModelError, RecipeError
from ...extras import require
from ..people.callables import is_callable_name, load_callable
from ..protocols import ShotSettings
from ..work import ClipRecord, Work

_SIDE = 64  # pictures are compared at this width


def measure_shots(work: Work, clip: ClipRecord) -> dict[str, Any]:
    """Return the record of the stage ``shots``: cut frames, brightness, change, and the hash of the pictures.

    Args:
        work: The work folder.
        clip: The clip.
    """
    with open_clip(clip.path) as opened:
        small = shrink(opened.frames(range(len(opened))))
    measures = {
        "cuts": find_cuts(clip.path, work.settings.shots),
        "brightness": round(float(small.mean()), 3),
        "change": round(float(np.abs(np.diff(small, axis=0)).mean(axis=(1, 2)).max(initial=0.0)), 3),
        "hash": difference_hash(small),
    }
    return {"status": "ok", "result": [measures]}


def find_cuts(path: Path, settings: ShotSettings) -> list[int]:
    """Return the frames of a clip, counted from 0, at which a new shot begins.

    Args:
        path: The clip.
        settings: The method and its threshold.

    Raises:
        RecipeError: If the method is unknown.
        ModelError: If a function of the user returns something else.
    """
    if is_callable_name(settings.method):
        returned = load_callable(settings.method, "shots.method")(str(path))
        try:
            return sorted({int(frame) for frame in returned} - {0})
        except (TypeError, ValueError):
            raise ModelError(
                f"{settings.method} returned {returned!r:.80}; it must return the frames of the cuts, as whole numbers"
            ) from None
    if settings.method != "content":
        raise RecipeError(f"shots.method is {settings.method!r}, it can be 'content' or 'module:function'")
    require("scenedetect", "finding shots")
    from scenedetect import ContentDetector, SceneManager, open_video

    manager = SceneManager()
    manager.add_detector(ContentDetector(threshold=settings.threshold))
    # Otherwise FFmpeg writes to the terminal from here on.
    video = open_video(str(path), backend="pyav", suppress_output=True)
    manager.detect_scenes(video, show_progress=False)
    return [start.frame_num for start, _ in manager.get_scene_list()[1:]]


def shrink(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return gray pictures with a width of about 64, as means over blocks."""
    from PIL import Image

    step = max(1, frames.shape[2] // _SIDE)
    small = [np.asarray(Image.fromarray(frame).convert("L").reduce(step)) for frame in frames]
    return np.stack(small).astype(np.float32)


def difference_hash(small: NDArray[np.float32]) -> str:
    """Return 192 bits as 48 hexadecimal digits: of the first, middle and last picture, whether each of 8×8 cells is
    darker than the one to its right.

    Args:
        small: Gray pictures (n, height, width).

    Example:
        >>> ramp = np.tile(np.arange(64, dtype=np.float32), (3, 48, 1))
        >>> difference_hash(ramp) == "f" * 48
        True
    """
    from PIL import Image

    bits = []
    for place in (0, len(small) // 2, len(small) - 1):
        cells = np.asarray(Image.fromarray(small[place]).resize((9, 8), Image.Resampling.BOX))
        bits.append(cells[:, :-1] < cells[:, 1:])
    return np.packbits(np.concatenate(bits)).tobytes().hex()


def hash_distance(one: str, other: str) -> int:
    """Return in how many bits two hashes differ.

    >>> hash_distance("f0", "f3")
    2
    """
    return (int(one, 16) ^ int(other, 16)).bit_count()
