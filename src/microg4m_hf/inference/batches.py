"""Prompts of several clips or questions as one batch of tensors, padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .prepare import Prepared


def padded(items: Sequence[tuple[Prepared, int]], *, after: int = 0) -> dict[str, Any]:
    """Token ids, attention mask and marks of ``(clip, number of the ask)`` rows, all equally long.

    The filling stands before the prompt, or behind its first ``after`` tokens, and repeats the row's last token:
    it is masked, and no rule about repeated tokens (``repetition_penalty``) sees a token that the prompt lacks, so
    the company a prompt is in cannot change its answer.
    """
    import torch

    rows = [item.ids[number] for item, number in items]
    length = max(map(len, rows))
    ids = torch.empty((len(rows), length), dtype=torch.long)
    mask = torch.ones_like(ids)
    marks = {name: torch.zeros_like(ids) for name in items[0][0].along}
    for place, (row, (item, _)) in enumerate(zip(rows, items, strict=True)):
        gap = length - len(row)
        ids[place] = torch.tensor([*row[:after], *[row[-1]] * gap, *row[after:]])
        mask[place, after : after + gap] = 0
        for name, table in marks.items():
            values = item.per_token(name, len(row))
            table[place] = torch.tensor([*values[:after], *[0] * gap, *values[after:]])
    return {"input_ids": ids, "attention_mask": mask, **marks}


def visuals(items: Sequence[Prepared]) -> dict[str, Any]:
    """Pixels, grids and sizes of clips of equal shape, one behind the other."""
    import torch

    return {name: torch.cat([item.visual[name] for item in items]) for name in items[0].visual}


def placed(inputs: dict[str, Any], model: Any) -> dict[str, Any]:
    """On the model's device; pixels in the model's number type (grids and times keep theirs)."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() and value.ndim > 1 else value.dtype)
        for name, value in inputs.items()
    }
