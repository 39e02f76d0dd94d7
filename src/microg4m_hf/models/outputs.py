"""What the models return."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class HarFeatures(ModelOutput):
    """Feature maps (clips, channels, time, height, width), one per pathway."""

    feature_maps: tuple[Tensor, ...] | None = None


@dataclass
class HarOutput(ModelOutput):
    """Logits (people, classes), clip after clip, and the clip that each row belongs to; loss when labels were given."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    clip_index: Tensor | None = None
