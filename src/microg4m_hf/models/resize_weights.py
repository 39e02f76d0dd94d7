"""Weights of another shape that still mean the same: positions of another grid, kernels without time."""

from __future__ import annotations

import math

from torch import Size, Tensor
from torch.nn import functional as F


def fit_to_shape(key: str, value: Tensor, target: Size, *, inflate: bool = False) -> Tensor | None:
    """``value`` in the shape ``target`` where PySlowFast would resize it, else None.

    Trailing dimensions of one are added (Caffe2 has none); relative and temporal positions are resized linearly,
    spatial ones bicubically on their square grid; with ``inflate`` 2D kernels are repeated over time.
    """
    if value.shape == target:
        return value
    if value.ndim < len(target) and value.ndim > 0:
        padded = value.reshape(*value.shape, *(1,) * (len(target) - value.ndim))
        if padded.shape == target:
            return padded
    if inflate and value.ndim == 4 and len(target) == 5:
        if value.shape[:2] == target[:2] and value.shape[2:] == target[3:]:
            return value[:, :, None].repeat(1, 1, target[2], 1, 1) / target[2]
        return None
    if value.ndim != len(target) or value.shape[-1:] != target[-1:]:
        return None
    if "attn.rel_pos" in key:
        return F.interpolate(value.T[None], size=target[0], mode="linear")[0].T.contiguous()
    if key == "pos_embed_temporal":
        return F.interpolate(value.transpose(1, 2), size=target[1], mode="linear").transpose(1, 2).contiguous()
    if key == "pos_embed_spatial":
        return _resize_square(value, target)
    return None


def _resize_square(value: Tensor, target: Size) -> Tensor | None:
    old, new = math.isqrt(value.shape[1]), math.isqrt(target[1])
    if old * old != value.shape[1] or new * new != target[1]:
        return None
    grid = value.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, size=(new, new), mode="bicubic")
    return resized.permute(0, 2, 3, 1).reshape(target)
