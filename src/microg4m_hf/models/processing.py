"""The processor: turn frames and boxes into the inputs of a model. It is saved beside the model."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoProcessor
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from ..errors import ModelError
from ..storage import write_atomic
from .configuration import MicroG4MHarConfig, per_channel
from .hub_files import CodeInPackage


def window_indices(center: int, num_frames: int, sampling_rate: int, total: int) -> list[int]:
    """Return the frames around a key frame as the published pipeline samples them; frames at the borders repeat.

    Args:
        center: The key frame, counted from 0.
        num_frames: The number of frames to return.
        sampling_rate: The distance between them.
        total: The number of frames of the video.

    Example:
        >>> window_indices(4, 4, 2, 90), window_indices(0, 4, 2, 90), window_indices(89, 4, 2, 90)
        ([0, 2, 4, 6], [0, 0, 0, 2], [85, 87, 89, 89])
    """
    half = num_frames * sampling_rate // 2
    wanted = range(center - half, center + half, sampling_rate)
    return [min(max(i, 0), total - 1) for i in wanted]


class MicroG4MHarProcessor(CodeInPackage, ProcessorMixin):
    """Sample, resize, crop and normalize clips together with their boxes.

    As in the published pipeline, the long side is rounded down, and a box is scaled by the factor of the long side and
    clipped to the last pixel.

    Args:
        num_frames: Frames that the model takes; a clip with another number is sampled around its key frame.
        sampling_rate: Distance between these frames.
        shortest_edge: Length of the short side after resizing.
        crop_edge: Side of a square to crop from the center. By default the whole frame is kept.
        image_mean: Mean of the normalization, per channel or one for all.
        image_std: Standard deviation of the normalization, per channel or one for all.

    Example:
        >>> processor = MicroG4MHarProcessor(num_frames=4, sampling_rate=2, shortest_edge=32)
        >>> out = processor(np.zeros((9, 48, 64, 3), np.uint8), boxes=[[0.0, 0.0, 0.5, 1.0]])
        >>> tuple(out["pixel_values"].shape), [round(v, 2) for v in out["boxes"][0][0].tolist()]
        ((1, 3, 4, 32, 42), [0.0, 0.0, 0.5, 0.97])
    """

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
        super().__init__(**kwargs)
        self.num_frames, self.sampling_rate = num_frames, sampling_rate
        self.shortest_edge, self.crop_edge = shortest_edge, crop_edge
        self.image_mean, self.image_std = per_channel(image_mean), per_channel(image_std)

    @classmethod
    def for_model(cls, config: MicroG4MHarConfig, **changes: Any) -> MicroG4MHarProcessor:
        """Return the evaluation processor of a model: whole frames with a short side of ``test_size``."""
        shared = {key: getattr(config, key) for key in ("num_frames", "sampling_rate", "image_mean", "image_std")}
        crop_edge = config.test_size if config.family == "transformers" else None
        return cls(**shared | {"shortest_edge": config.test_size, "crop_edge": crop_edge} | changes)

    def __call__(self, clips: Any, boxes: Any = None, center: int | None = None, **_: Any) -> BatchFeature:
        """Return ``pixel_values`` and ``boxes`` for the model.

        Args:
            clips: RGB uint8 frames (T, H, W, 3) of one clip, or a list of clips of one size.
            boxes: Rows of normalized xyxy, for one clip or for each clip of the list.
            center: The key frame, counted from 0. By default the middle of the clip.

        Raises:
            ModelError: If a clip has another type or shape, or the clips end up in different sizes.
        """
        single = not isinstance(clips, list | tuple)
        batch = [clips] if single else list(clips)
        tables = [None] * len(batch) if boxes is None else [boxes] if single else list(boxes)
        if len(tables) != len(batch):
            raise ModelError(
                f"{len(batch)} clips need {len(batch)} lists of boxes, got {len(tables)}; give one per clip"
            )
        outputs = [self._process(clip, table, center) for clip, table in zip(batch, tables, strict=True)]
        shapes = sorted({tuple(pixels.shape[1:]) for pixels, _ in outputs})
        if len(shapes) > 1:
            raise ModelError(f"the clips of a batch must end up in one size, got {shapes}; process them one by one")
        data: dict[str, Any] = {"pixel_values": torch.stack([pixels for pixels, _ in outputs])}
        if boxes is not None:
            data["boxes"] = [table for _, table in outputs]
        return BatchFeature(data)

    def to_json_file(self, json_file_path: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write ``processor_config.json``, and the same settings beside it for ``AutoVideoProcessor``."""
        super().to_json_file(json_file_path, **kwargs)
        shared = ("num_frames", "sampling_rate", "shortest_edge", "crop_edge", "image_mean", "image_std")
        settings = {name: getattr(self, name) for name in shared}
        settings["video_processor_type"] = "MicroG4MHarVideoProcessor"
        text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
        write_atomic(Path(json_file_path).with_name("video_preprocessor_config.json"), text)

    @property
    def model_input_names(self) -> list[str]:
        return ["pixel_values", "boxes"]

    def _process(self, clip: Any, boxes: Any, center: int | None) -> tuple[Tensor, Tensor]:
        frames = torch.as_tensor(np.asarray(clip))
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != torch.uint8 or not frames.numel():
            raise ModelError(
                f"a clip has the shape {tuple(frames.shape)} and the type {frames.dtype}; give uint8 RGB of shape "
                "(frames, height, width, 3)"
            )
        if len(frames) != self.num_frames or center is not None:
            middle = len(frames) // 2 if center is None else center
            frames = frames[window_indices(middle, self.num_frames, self.sampling_rate, len(frames))]
        pixels = frames.permute(0, 3, 1, 2).float()
        table = torch.as_tensor(np.asarray([] if boxes is None else boxes), dtype=torch.float32).reshape(-1, 4)
        pixels, table = _resize(pixels, table, self.shortest_edge)
        if self.crop_edge is not None:
            pixels, table = _crop(pixels, table, self.crop_edge)
        mean, std = torch.tensor(self.image_mean), torch.tensor(self.image_std)
        pixels = (pixels / 255 - mean[:, None, None]) / std[:, None, None]
        height, width = pixels.shape[2:]
        size = torch.tensor([width, height, width, height])
        return pixels.transpose(0, 1).contiguous(), torch.minimum(table.clamp(min=0), size - 1) / size


def _resize(pixels: Tensor, boxes: Tensor, edge: int) -> tuple[Tensor, Tensor]:
    """Resize the short side to ``edge``; return boxes in pixels, scaled by the factor of the long side."""
    height, width = pixels.shape[2:]
    boxes = boxes * torch.tensor([width, height, width, height])
    if min(height, width) == edge:
        return pixels, boxes
    tall = width < height
    long = math.floor(max(height, width) / min(height, width) * edge)
    size = (long, edge) if tall else (edge, long)
    resized = F.interpolate(pixels, size=size, mode="bilinear").round()
    return resized, boxes * (long / (height if tall else width))


def _crop(pixels: Tensor, boxes: Tensor, edge: int) -> tuple[Tensor, Tensor]:
    height, width = pixels.shape[2:]
    top, left = math.ceil((height - edge) / 2), math.ceil((width - edge) / 2)
    if top < 0 or left < 0:
        raise ModelError(
            f"frames of {height}x{width} are too small for a crop of {edge}; use a smaller crop or a larger short side"
        )
    return pixels[:, :, top : top + edge, left : left + edge], boxes - torch.tensor([left, top, left, top])


AutoProcessor.register(MicroG4MHarConfig, MicroG4MHarProcessor, exist_ok=True)
