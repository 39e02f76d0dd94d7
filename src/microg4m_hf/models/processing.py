"""The processor: frames and boxes as people have them to what the model takes, saved beside the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoProcessor
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from ..errors import ModelError
from .configuration import MicroG4MHarConfig

# Which frames of a video a model sees: a window around a key frame.


def window_indices(center: int, num_frames: int, sampling_rate: int, total: int) -> list[int]:
    """Frame numbers (from 0) around ``center`` as the published pipeline takes them; the borders repeat.

    >>> window_indices(4, 4, 2, 90), window_indices(0, 4, 2, 90), window_indices(89, 4, 2, 90)
    ([0, 2, 4, 6], [0, 0, 0, 2], [85, 87, 89, 89])
    """
    half = num_frames * sampling_rate // 2
    wanted = range(center - half, center + half, sampling_rate)
    return [min(max(i, 0), total - 1) for i in wanted]


class MicroG4MHarProcessor(ProcessorMixin):
    """Window, resize, crop, normalise; boxes go along.

    Frames are RGB uint8. A clip with more frames than the model takes is sampled around ``center``. The short side
    becomes ``shortest_edge``, the long side follows, rounded down; as in the published pipeline a box is scaled by
    the factor of the long side and clipped to the last pixel. ``crop_edge`` cuts a square from the middle.

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
        image_mean: Sequence[float] = (0.45, 0.45, 0.45),
        image_std: Sequence[float] = (0.225, 0.225, 0.225),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_frames, self.sampling_rate = num_frames, sampling_rate
        self.shortest_edge, self.crop_edge = shortest_edge, crop_edge
        self.image_mean, self.image_std = list(image_mean), list(image_std)

    @classmethod
    def for_model(cls, config: MicroG4MHarConfig, **changes: Any) -> MicroG4MHarProcessor:
        """The test-time processor of a model: whole frames, short side ``test_size``."""
        values = {
            "num_frames": config.num_frames,
            "sampling_rate": config.sampling_rate,
            "shortest_edge": config.test_size,
            "crop_edge": config.test_size if config.family == "transformers" else None,
            "image_mean": config.image_mean,
            "image_std": config.image_std,
        }
        return cls(**values | changes)

    def __call__(self, clips: Any, boxes: Any = None, center: int | None = None, **_: Any) -> BatchFeature:
        """Clips of one size: an array (T, H, W, 3) or a list of such; boxes: per clip rows of normalised xyxy."""
        single = not isinstance(clips, list | tuple)
        many = [clips] if single else list(clips)
        rows = [None] * len(many) if boxes is None else [boxes] if single else list(boxes)
        if len(rows) != len(many):
            raise ModelError(f"{len(many)} clips need {len(many)} lists of boxes, got {len(rows)}")
        done = [self._one(clip, b, center) for clip, b in zip(many, rows, strict=True)]
        shapes = sorted({tuple(pixels.shape[1:]) for pixels, _ in done})
        if len(shapes) > 1:
            raise ModelError(f"clips of one batch must come out in one size, got {shapes}; process them one by one")
        data: dict[str, Any] = {"pixel_values": torch.stack([pixels for pixels, _ in done])}
        if boxes is not None:
            data["boxes"] = [b for _, b in done]
        return BatchFeature(data)

    @property
    def model_input_names(self) -> list[str]:
        return ["pixel_values", "boxes"]

    def _one(self, clip: Any, boxes: Any, center: int | None) -> tuple[Tensor, Tensor]:
        frames = torch.as_tensor(np.asarray(clip))
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != torch.uint8 or not frames.numel():
            raise ModelError(
                f"a clip is an array (frames, height, width, 3) of uint8 RGB, got {tuple(frames.shape)} {frames.dtype}"
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
    """Short side to ``edge``; boxes to pixels of the result, scaled by the one factor of the long side."""
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
        raise ModelError(f"frames of {height}x{width} are too small for a crop of {edge}")
    return pixels[:, :, top : top + edge, left : left + edge], boxes - torch.tensor([left, top, left, top])


AutoProcessor.register(MicroG4MHarConfig, MicroG4MHarProcessor, exist_ok=True)
