"""The video processor of the models, for ``AutoVideoProcessor`` and ``pipeline("video-classification")``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import BaseVideoProcessor, BatchFeature

from ..data import open_clip, window
from ..models.hub_files import CodeInPackage
from ..models.processing import MicroG4MHarProcessor

WHOLE_FRAME = [[0.0, 0.0, 1.0, 1.0]]


def read_window(path: str | os.PathLike[str], processor: Any, center: int | None = None) -> np.ndarray:
    """Decode the frames around a key frame that a processor would sample from the whole clip.

    Args:
        path: A video file.
        processor: A processor with ``num_frames`` and ``sampling_rate``.
        center: The key frame, counted from 0. By default the middle of the clip.
    """
    with open_clip(path) as clip:
        middle = len(clip) // 2 if center is None else center
        return clip.frames(window(len(clip), middle, processor.num_frames, processor.sampling_rate))


class MicroG4MHarVideoProcessor(CodeInPackage, BaseVideoProcessor):
    """Turn videos into the inputs of a model, with the pixels of ``MicroG4MHarProcessor``.

    It differs in what it accepts: files too, and videos without boxes. These get the whole frame as their only box, so
    that ``pipeline("video-classification")`` names what happens anywhere in the frame. Models are trained on boxes of
    single people: pass their boxes, or use ``pipeline("microg4m-har")``, for what each person does.

    Args:
        num_frames: Frames that the model takes; a clip with another number is sampled around its key frame.
        sampling_rate: Distance between these frames.
        shortest_edge: Length of the short side after resizing.
        crop_edge: Side of a square to crop from the center. By default the whole frame is kept.
        image_mean: Mean of the normalization, per channel or one for all.
        image_std: Standard deviation of the normalization, per channel or one for all.

    Example:
        >>> out = MicroG4MHarVideoProcessor(num_frames=4, shortest_edge=32)(np.zeros((9, 48, 64, 3), np.uint8))
        >>> tuple(out["pixel_values"].shape), tuple(out["boxes"].shape)
        ((1, 3, 4, 32, 42), (1, 1, 4))
    """

    model_input_names = ["pixel_values", "boxes"]  # noqa: RUF012
    num_frames: int
    image_mean: Any
    image_std: Any

    def __init__(
        self,
        num_frames: int = 8,
        sampling_rate: int = 8,
        shortest_edge: int = 256,
        crop_edge: int | None = None,
        image_mean: float | Sequence[float] = (0.45, 0.45, 0.45),
        image_std: float | Sequence[float] = (0.225, 0.225, 0.225),
        **kwargs: Any,
    ) -> None:
        known: dict[str, Any] = {"num_frames": num_frames, "image_mean": image_mean, "image_std": image_std}
        super().__init__(**known, **kwargs)
        self.sampling_rate, self.shortest_edge, self.crop_edge = sampling_rate, shortest_edge, crop_edge

    def preprocess(
        self, videos: Any, boxes: Any = None, center: int | None = None, num_frames: int | None = None, **_: Any
    ) -> BatchFeature:
        """Return ``pixel_values`` and ``boxes`` for the model.

        Args:
            videos: A path, RGB uint8 frames (T, H, W, 3) or (T, 3, H, W), a list of frames, or a list of videos.
            boxes: Rows of normalized xyxy for one video, or such rows for each video of a list. By default the box of
                every video is its whole frame.
            center: The key frame, counted from 0. By default the middle of the video.
            num_frames: Frames to sample. By default those of the model.

        Raises:
            ModelError: If a video has another type or shape, or the videos end up in different sizes.
            ClipError: If a file cannot be read.
        """
        processor = MicroG4MHarProcessor(
            num_frames or self.num_frames,
            self.sampling_rate,
            self.shortest_edge,
            self.crop_edge,
            self.image_mean,
            self.image_std,
        )
        several = isinstance(videos, list | tuple) and not _is_frame(videos[0])
        batch = list(videos) if several else [videos]
        tables = [WHOLE_FRAME] * len(batch) if boxes is None else boxes if several else [boxes]
        files = [isinstance(video, str | os.PathLike) for video in batch]
        clips = [
            read_window(video, processor, center) if file else _channels_last(video)
            for video, file in zip(batch, files, strict=True)
        ]
        inputs = processor(clips, boxes=tables, center=None if all(files) else center)
        if boxes is None:
            inputs["boxes"] = torch.stack(inputs["boxes"])
        return inputs


def _is_frame(value: Any) -> bool:
    return not isinstance(value, str | os.PathLike | list | tuple) and np.ndim(value) == 3


def _channels_last(video: Any) -> np.ndarray:
    frames = np.stack([np.asarray(frame) for frame in video])
    channels_first = frames.ndim == 4 and frames.shape[1] == 3 and frames.shape[3] != 3
    return frames.transpose(0, 2, 3, 1) if channels_first else frames
