"""Clips that a model cannot take, said clearly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError


def check_shape(clips: Tensor, config: Any) -> None:
    """Clips are floating point (B, 3, T, H, W) with the T of the model."""
    if clips.ndim != 5 or clips.shape[1] != 3:
        raise ModelError(f"pixel_values are clips of shape (B, 3, T, H, W), got {tuple(clips.shape)}")
    if clips.shape[2] != config.num_frames:
        raise ModelError(
            f"{config.variant} takes {config.num_frames} frames, got {clips.shape[2]}; sample {config.num_frames} "
            f"frames, or build it with num_frames={clips.shape[2]}"
        )
    if not clips.is_floating_point():
        raise ModelError(f"pixel_values are {clips.dtype}; normalise them first (the saved processor does)")


def check_values(clips: Tensor) -> None:
    """One pass and no mask: nan and inf survive a sum."""
    total = clips.sum(dtype=torch.float32)
    if total.device.type != "meta" and not torch.isfinite(total):
        raise ModelError("pixel_values hold nan or inf; look at the normalisation (a division by zero?)")
