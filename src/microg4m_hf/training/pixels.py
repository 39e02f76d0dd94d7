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
    first_row, rows = _samples(geometry.top, geometry.crop_height, geometry.height, height, frames.device)
    first_column, columns = _samples(geometry.left, geometry.crop_width, geometry.width, width, frames.device)
    # Only what the crop looks at becomes float.
    seen = frames[
        :, first_row : first_row + int(rows[1][-1]) + 1, first_column : first_column + int(columns[1][-1]) + 1
    ]
    clip = seen.permute(0, 3, 1, 2).float()
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
    offset: int, count: int, resized: int, original: int, device: torch.device
) -> tuple[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The first pixel that is looked at; from there left neighbour, right neighbour and weight of the right one."""
    import torch

    position = torch.arange(offset, offset + count, dtype=torch.float64)
    position = (position + 0.5) * (original / resized) - 0.5
    position = position.clamp(0, original - 1)
    left = position.floor().long()
    right = (left + 1).clamp(max=original - 1)
    weight, first = (position - left).float(), int(left[0])
    return first, ((left - first).to(device), (right - first).to(device), weight.to(device))


def _lerp(clip: torch.Tensor, samples: tuple[torch.Tensor, torch.Tensor, torch.Tensor], axis: int) -> torch.Tensor:
    import torch

    left, right, weight = samples
    shape = [1] * clip.ndim
    shape[axis] = -1
    return torch.lerp(clip.index_select(axis, left), clip.index_select(axis, right), weight.view(shape))
