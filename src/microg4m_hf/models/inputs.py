"""Check the inputs of a model, make one table of regions in pixels of its boxes, and turn clips by quarters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError

Boxes = Tensor | Sequence[Any]
_TOLERANCE = 1e-3  # released boxes are rounded to three decimals


def flatten_boxes(boxes: Boxes, batch: int, device: torch.device, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Concatenate the boxes of a batch, in clip order where they come per clip.

    Args:
        boxes: A list with one (n, 4) array per clip, a padded tensor (batch, n, 4), or a tensor (k, 5) of clip and box.
        batch: The number of clips.
        device: Where to put the result.
        mask: Which rows of a padded tensor are boxes. By default, rows without a positive number are padding.

    Returns:
        The boxes (k, 4) in float32 and the index of the clip that each belongs to.

    Example:
        >>> flatten_boxes([[[0.1, 0.1, 0.5, 0.9]], []], 2, torch.device("cpu"))[1].tolist()
        [0]
    """
    if isinstance(boxes, Tensor) and boxes.ndim == 2 and boxes.shape[1] == 5:
        owners = boxes[:, 0].to(device, torch.int64)
        if not torch.compiler.is_compiling() and bool(((owners < 0) | (owners >= batch)).any()):
            named = sorted(set(owners.tolist()))
            raise ModelError(f"boxes name clips {named}, but the batch has {batch}; count clips from 0")
        return boxes[:, 1:].to(device, torch.float32), owners
    if isinstance(boxes, Tensor):
        if boxes.ndim != 3 or boxes.shape[0] != batch or boxes.shape[2] != 4:
            raise ModelError(
                f"padded boxes have shape (clips, boxes, 4) = ({batch}, n, 4), got {tuple(boxes.shape)}; "
                "give this shape, a list with one (n, 4) tensor per clip, or a tensor (people, 5) of clip and box"
            )
        boxes = boxes.to(device, torch.float32)
        keep = mask.to(device, torch.bool) if mask is not None else (boxes > 0).any(-1)
        owners, rows = keep.nonzero().unbind(1)
        return boxes[owners, rows], owners
    if len(boxes) != batch:
        raise ModelError(f"{batch} clips need {batch} lists of boxes, got {len(boxes)}; give [] where nobody is")
    tables = [_rows(b, i, device) for i, b in enumerate(boxes)]
    owners = torch.tensor([i for i, table in enumerate(tables) for _ in table], dtype=torch.int64, device=device)
    return torch.cat(tables) if tables else torch.zeros(0, 4, device=device), owners


def _rows(boxes: Any, clip: int, device: torch.device) -> Tensor:
    rows = torch.as_tensor(boxes, dtype=torch.float32, device=device)
    if rows.numel() == 0:
        return rows.reshape(0, 4)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ModelError(f"the boxes of clip {clip} have shape {tuple(rows.shape)}; give (n, 4)")
    return rows


def check_boxes(boxes: Tensor) -> None:
    """Raise a ``ModelError`` for boxes that are not normalized xyxy. A zero area, as cropping leaves it, is allowed."""
    low, high = -_TOLERANCE, 1 + _TOLERANCE
    inside = ((boxes >= low) & (boxes <= high)).all(1)
    ordered = (boxes[:, 2:] >= boxes[:, :2]).all(1)
    wrong = (~(inside & ordered)).nonzero()[:, 0]
    if len(wrong):
        row = int(wrong[0])
        values = [round(v, 4) for v in boxes[row].tolist()]
        why = "x1 <= x2 and y1 <= y2 must hold" if bool(inside[row]) else "all four numbers must lie in 0..1"
        raise ModelError(
            f"box {row} of the batch is {values}: {why}; give (x1, y1, x2, y2) divided by the width and height "
            "of the frame"
        )


def to_regions(boxes: Tensor, owners: Tensor, height: int, width: int) -> Tensor:
    """Return rows (clip, x1, y1, x2, y2) in pixels of the input."""
    size = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
    return torch.cat([owners[:, None].to(boxes.dtype), boxes * size], 1)


def turn_clips(clips: Tensor, quarters: int) -> Tensor:
    """Turn clips (..., H, W) clockwise by quarter turns; an odd number swaps height and width.

    Args:
        clips: The clips.
        quarters: How many quarter turns.

    Example:
        >>> turn_clips(torch.tensor([[0, 1], [2, 3]]), 1).tolist()
        [[2, 0], [3, 1]]
    """
    quarters %= 4
    if quarters == 0:
        return clips
    if quarters == 2:
        return clips.flip(-2, -1)
    # A convolution may choose another algorithm for strided memory, and round differently.
    turned = clips.flip(-2) if quarters == 1 else clips.flip(-1)
    return turned.transpose(-2, -1).contiguous()


def turn_boxes(boxes: Tensor, quarters: int) -> Tensor:
    """Turn normalized xyxy boxes (n, 4) together with their clip; see :func:`turn_clips`.

    >>> turn_boxes(torch.tensor([[0.0, 0.0, 0.25, 0.5]]), 1).tolist()
    [[0.5, 0.0, 1.0, 0.25]]
    """
    for _ in range(quarters % 4):
        x1, y1, x2, y2 = boxes.unbind(1)
        boxes = torch.stack([1 - y2, x1, 1 - y1, x2], 1)
    return boxes


def round_boxes(boxes: Tensor) -> Tensor:
    """Round normalized boxes to 1/16384, so that four quarter turns give the same numbers again.

    In single precision ``1 - (1 - x)`` differs from ``x``, and RoIAlign takes another number of samples where a region
    is a hair wider than a whole number of cells. A step is 0.03 pixels on a frame of 480 pixels.
    """
    return (boxes * 16384).round() / 16384


def check_shape(clips: Tensor, config: Any) -> None:
    """Raise a ``ModelError`` unless clips are floating point (B, 3, T, H, W) with the T of the model."""
    if clips.ndim != 5 or clips.shape[1] != 3:
        raise ModelError(f"pixel_values have the shape {tuple(clips.shape)}; give clips of shape (B, 3, T, H, W)")
    if clips.shape[2] != config.num_frames:
        raise ModelError(
            f"{config.variant} takes {config.num_frames} frames, got {clips.shape[2]}; sample {config.num_frames} "
            f"frames, or build it with num_frames={clips.shape[2]}"
        )
    if not clips.is_floating_point():
        raise ModelError(f"pixel_values are {clips.dtype}; normalize them first, as the saved processor does")


def check_values(clips: Tensor) -> None:
    """Raise a ``ModelError`` for nan and inf; both survive a sum, which needs one pass and no mask."""
    total = clips.sum(dtype=torch.float32)
    if total.device.type != "meta" and not torch.isfinite(total):
        raise ModelError("pixel_values contain nan or inf; check the normalization for a division by zero")
