"""Adapters for loops that need tensors of one shape, such as ``transformers.Trainer``: persons are padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from .loading.batches import render_batch
from .loading.dataset import Item, report_faults

PADDING = -100  # label of padded persons, as `metrics.make_compute_metrics` and the Trainer expect it


class PaddedCollator:
    """Collates items of ``KeyFrameWindows`` into ``pixel_values``, ``boxes``, ``box_mask``, ``labels``, ``key_frames``.

    The frames of a batch must have one size. ``key_frames`` is a number for each person, the same for all of an item,
    which is one key frame; name it in ``TrainingArguments(label_names=["labels", "key_frames"])`` for
    ``make_compute_metrics``.

    Args:
        config: The config of the model, for the normalization of pixels.
        on_error: For unreadable clips: ``"raise"`` stops, ``"skip"`` masks their persons.

    Example:
        >>> import numpy as np
        >>> from microg4m_hf.models import config_of
        >>> from microg4m_hf.training.loading.transforms import Geometry
        >>> item = Item(0, np.zeros((4, 8, 8, 3), np.uint8), Geometry(8, 8, 0, 0, 8, 8), np.zeros((2, 4), np.float32),
        ...             np.zeros((2, 50), np.uint8))
        >>> batch = PaddedCollator(config_of("tiny_slow"))([item])
        >>> {name: tuple(value.shape) for name, value in batch.items() if name != "pixel_values"}
        {'boxes': (1, 2, 4), 'box_mask': (1, 2), 'labels': (1, 2, 50), 'key_frames': (1, 2)}
    """

    def __init__(self, config: Any, on_error: str = "raise") -> None:
        self.config, self.on_error = config, on_error

    def __call__(self, items: Sequence[Item]) -> dict[str, Tensor]:
        report_faults([item.fault for item in items if item.fault is not None], self.on_error)
        frames = [torch.from_numpy(item.frames) for item in items]
        boxes = [torch.from_numpy(item.boxes) for item in items]
        labels = [torch.from_numpy(item.labels).float() for item in items]
        places = [torch.full((len(item.boxes),), item.index) for item in items]
        readable = [torch.full((len(item.boxes),), item.fault is None) for item in items]
        return {
            "pixel_values": render_batch(frames, [item.geometry for item in items], self.config),
            "boxes": pad_sequence(boxes, batch_first=True),
            "box_mask": pad_sequence(readable, batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=PADDING),
            "key_frames": pad_sequence(places, batch_first=True, padding_value=PADDING),
        }


class PaddedModel(nn.Module):
    """Wraps a model so that its logits are ``(clips, persons, classes)``, zero for padded persons.

    Args:
        model: A model of :mod:`microg4m_hf.models`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        pixel_values: Tensor,
        boxes: Tensor,
        box_mask: Tensor,
        labels: Tensor | None = None,
        key_frames: Tensor | None = None,  # only for the metric, to which the Trainer passes it on
    ) -> dict[str, Any]:
        output = self.model(pixel_values=pixel_values, boxes=boxes, box_mask=box_mask, labels=labels)
        logits = output.logits.new_zeros(*box_mask.shape, output.logits.shape[1])
        logits[box_mask] = output.logits
        return {"loss": output.loss, "logits": logits}
