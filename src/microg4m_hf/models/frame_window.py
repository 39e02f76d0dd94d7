"""Which frames of a video a model sees: a window around a key frame."""

from __future__ import annotations


def window_indices(center: int, num_frames: int, sampling_rate: int, total: int) -> list[int]:
    """Frame numbers (from 0) around ``center`` as the published pipeline takes them; the borders repeat.

    >>> window_indices(4, 4, 2, 90), window_indices(0, 4, 2, 90), window_indices(89, 4, 2, 90)
    ([0, 2, 4, 6], [0, 0, 0, 2], [85, 87, 89, 89])
    """
    half = num_frames * sampling_rate // 2
    wanted = range(center - half, center + half, sampling_rate)
    return [min(max(i, 0), total - 1) for i in wanted]
