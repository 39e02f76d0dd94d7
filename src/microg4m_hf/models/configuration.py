"""The configuration of a model: which network, how it is fed, how people are pooled from its features."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from ..taxonomy import ACTION_NAMES, NUM_ACTIONS, NUM_AVA_CLASSES, ava_names
from .specs import Spec, family_of, spec_from_dict


class MicroG4MHarConfig(PreTrainedConfig):
    """Everything that rebuilds a model, saved as ``config.json``.

    ``network`` holds the fields of the family's spec (``specs.py``); the rest is the same for all families.

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
        variant: str = "custom",  # the name in the table of models, for tables and reports
        settings: str = "custom",  # "paper" (published, quirks included) or "corrected"
        num_frames: int = 8,
        sampling_rate: int = 8,  # distance of the frames in the video
        train_size: int = 224,  # side of the square crop
        test_size: int = 256,  # short side of the whole frame
        roi_stride: int = 16,  # pixels per cell of the feature map, as region pooling believes
        roi_size: int = 7,
        dropout: float = 0.5,
        image_mean: Sequence[float] = (0.45, 0.45, 0.45),
        image_std: Sequence[float] = (0.225, 0.225, 0.225),
        check_inputs: bool = True,  # say clearly what is wrong with clips and boxes; off saves one pass over the clip
        **kwargs: Any,
    ) -> None:
        if "id2label" not in kwargs:
            names = _label_names(kwargs.pop("num_labels", NUM_ACTIONS))
            kwargs["id2label"] = dict(enumerate(names))
            kwargs["label2id"] = {name: i for i, name in enumerate(names)}
        kwargs.setdefault("problem_type", "multi_label_classification")
        self.family, self.variant, self.settings = family, variant, settings
        self.network = dict(network or {})
        self.num_frames, self.sampling_rate = num_frames, sampling_rate
        self.train_size, self.test_size = train_size, test_size
        self.roi_stride, self.roi_size = roi_stride, roi_size
        self.image_mean, self.image_std = list(image_mean), list(image_std)
        self.dropout, self.check_inputs = dropout, check_inputs
        super().__init__(**kwargs)

    @classmethod
    def of(cls, spec: Spec, **settings: Any) -> MicroG4MHarConfig:
        """A configuration from a spec instead of a dict."""
        return cls(family=family_of(spec), network=dataclasses.asdict(spec), **settings)

    @property
    def spec(self) -> Spec:
        """The typed description of the network."""
        return spec_from_dict(self.family, self.network)


def _label_names(count: int) -> list[str]:
    if count == NUM_ACTIONS:
        return list(ACTION_NAMES)
    if count == NUM_AVA_CLASSES:
        return ava_names()
    return [f"LABEL_{i}" for i in range(count)]


AutoConfig.register(MicroG4MHarConfig.model_type, MicroG4MHarConfig, exist_ok=True)
