"""Pixels on the device: resize, crop, mirror and normalise uint8 windows in one bilinear pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from .geometry import Geometry

if TYPE_CHECKING:
    import torch


def render(frames: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """One window, uint8 ``(T, H, W, 3)`` RGB, to float ``(3, T, crop height, crop width)`` from 0 to 255.

    Samples exactly where a bilinear resize without anti-aliasing followed by a crop would: at half-pixel centres,
    the border repeated. Only the crop is computed.

    >>> import torch
    >>> render(torch.zeros(2, 8, 8, 3, dtype=torch.uint8), Geometry(4, 4, 0, 0, 4, 4)).shape
    torch.Size([3, 2, 4, 4])
    """
    height, width = frames.shape[1:3]
    clip = frames.permute(0, 3, 1, 2).float()
    rows = _samples(geometry.top, geometry.crop_height, geometry.height, height, clip)
    columns = _samples(geometry.left, geometry.crop_width, geometry.width, width, clip)
    if geometry.flip:
        columns = (columns[0].flip(0), columns[1].flip(0), columns[2].flip(0))
    clip = _lerp(clip, rows, 2)
    clip = _lerp(clip, columns, 3)
    return clip.permute(1, 0, 2, 3)


def render_batch(windows: Sequence[torch.Tensor], geometries: Sequence[Geometry], config: Any) -> torch.Tensor:
    """A batch of windows whose crops are of one size, normalised as the config of the model says."""
    import torch

    sizes = {(geometry.crop_height, geometry.crop_width) for geometry in geometries}
    if len(sizes) > 1:
        raise RecipeError(f"frames of {len(sizes)} sizes in one batch, {sorted(sizes)[:3]}: set data.crop to a side")
    pairs = zip(windows, geometries, strict=True)
    clips = torch.stack([render(window, geometry) for window, geometry in pairs])
    mean, std = (clips.new_tensor(list(values)).view(3, 1, 1, 1) for values in (config.image_mean, config.image_std))
    return clips.div_(255.0).sub_(mean).div_(std)


def _samples(
    offset: int, count: int, resized: int, original: int, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Left neighbour, right neighbour and weight of the right one for ``count`` outputs of a resized axis."""
    import torch

    position = torch.arange(offset, offset + count, device=like.device, dtype=torch.float64)
    position = (position + 0.5) * (original / resized) - 0.5
    position = position.clamp(0, original - 1)
    left = position.floor().long()
    right = (left + 1).clamp(max=original - 1)
    return left, right, (position - left).to(like.dtype)


def _lerp(clip: torch.Tensor, samples: tuple[torch.Tensor, torch.Tensor, torch.Tensor], axis: int) -> torch.Tensor:
    import torch

    left, right, weight = samples
    shape = [1] * clip.ndim
    shape[axis] = -1
    return torch.lerp(clip.index_select(axis, left), clip.index_select(axis, right), weight.view(shape))
