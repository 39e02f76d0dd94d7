"""The configuration of a model: its network, its input, and how people are pooled from its features."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from ..errors import ModelError
from ..storage import write_atomic
from ..taxonomy import ACTION_NAMES, NUM_ACTIONS, NUM_AVA_CLASSES, ava_names
from .hub_files import AUTO_MAP, HUB_CODE, HUB_CODE_FILE, CodeInPackage
from .specs import Spec, family_of, spec_from_dict


class MicroG4MHarConfig(CodeInPackage, PreTrainedConfig):
    """The configuration of a ``MicroG4MHarModel``, saved as ``config.json``.

    Args:
        family: The family of the network, a key of ``specs.FAMILIES``.
        network: The fields of the family's spec.
        variant: The name of the model in tables and reports.
        settings: "paper" (as published, quirks included), "corrected", "tiny" or "custom".
        num_frames: Frames of a clip.
        sampling_rate: Distance between these frames in the video.
        train_size: Side of the square crop in training.
        test_size: Short side of the whole frame in evaluation.
        roi_stride: Pixels per cell of the feature map that region pooling assumes.
        roi_size: Cells per side of a pooled region.
        dropout: Dropout before the linear layer.
        turn_pooling: Give the model every clip in its four quarter turns, and average the features of each person over
            them. The logits are then the same for a clip and its quarter turns, at four times the computation.
        image_mean: Mean of the normalization, per channel or one for all.
        image_std: Standard deviation of the normalization, per channel or one for all.
        check_inputs: Check the values of clips and boxes, which takes one pass over the clip.

    Example:
        >>> from microg4m_hf.models.specs import X3DSpec
        >>> config = MicroG4MHarConfig.of(X3DSpec(), variant="mine", num_frames=13, roi_stride=32)
        >>> config.family, config.roi_stride, config.id2label[1]
        ('x3d', 32, 'crouch/kneel')
    """

    model_type = "microg4m_har"

    def __init__(
        self,
        family: str = "resnet",
        network: dict[str, Any] | None = None,
        variant: str = "custom",
        settings: str = "custom",
        num_frames: int = 8,
        sampling_rate: int = 8,
        train_size: int = 224,
        test_size: int = 256,
        roi_stride: int = 16,
        roi_size: int = 7,
        dropout: float = 0.5,
        turn_pooling: bool = False,
        image_mean: float | Sequence[float] = (0.45, 0.45, 0.45),
        image_std: float | Sequence[float] = (0.225, 0.225, 0.225),
        check_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        if "id2label" not in kwargs:
            count = kwargs.pop("num_labels", NUM_ACTIONS)
            known = {NUM_ACTIONS: ACTION_NAMES, NUM_AVA_CLASSES: ava_names()}
            names = known.get(count) or [f"LABEL_{i}" for i in range(count)]
            kwargs["id2label"] = dict(enumerate(names))
            kwargs["label2id"] = {name: i for i, name in enumerate(names)}
        if not isinstance(turn_pooling, bool):
            raise ModelError(f"turn_pooling is {turn_pooling!r}; it must be true or false")
        kwargs.setdefault("problem_type", "multi_label_classification")
        kwargs["auto_map"] = dict(AUTO_MAP)  # a config from the Hub names that repository's file
        self.family, self.variant, self.settings = family, variant, settings
        self.network = dict(network or {})
        self.num_frames, self.sampling_rate = num_frames, sampling_rate
        self.train_size, self.test_size = train_size, test_size
        self.roi_stride, self.roi_size = roi_stride, roi_size
        self.image_mean, self.image_std = per_channel(image_mean), per_channel(image_std)
        self.dropout, self.turn_pooling, self.check_inputs = dropout, turn_pooling, check_inputs
        super().__init__(**kwargs)

    @classmethod
    def of(cls, spec: Spec, **settings: Any) -> MicroG4MHarConfig:
        """Create a configuration from a spec instead of a family and a dict."""
        return cls(family=family_of(spec), network=dataclasses.asdict(spec), **settings)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:  # type: ignore[override]
        """Save ``config.json``, and the file that it names for programs that have not imported this library."""
        write_atomic(Path(save_directory) / HUB_CODE_FILE, HUB_CODE)
        super().save_pretrained(save_directory, **kwargs)

    @property
    def spec(self) -> Spec:
        """The typed description of the network."""
        return spec_from_dict(self.family, self.network)


def per_channel(value: float | Sequence[float]) -> list[float]:
    """Return one number per channel, where one for all is allowed too.

    >>> per_channel(0.5)
    [0.5, 0.5, 0.5]
    """
    return [value] * 3 if isinstance(value, int | float) else list(value)
