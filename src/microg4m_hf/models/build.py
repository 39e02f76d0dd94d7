"""Build a model from its name or around an encoder of transformers, and count its parameters and FLOPs."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..errors import ModelError
from .backbones.transformers_encoder import patch_size
from .configuration import MicroG4MHarConfig
from .modeling import MicroG4MHarForVideoClassification
from .registry import COUNTS, VARIANTS
from .specs import TransformersSpec, family_of, spec_from_dict

_NOT_OF_THE_NETWORK = ("architectures", "transformers_version", "id2label", "label2id", "dtype", "torch_dtype")
_CONFIG_SETTINGS = (
    *("dropout", "roi_size", "turn_pooling", "check_inputs"),
    *("id2label", "label2id", "image_mean", "image_std"),
)


def config_of(name: str, **overrides: Any) -> MicroG4MHarConfig:
    """Return the configuration of a named model.

    Args:
        name: A name of ``microg4m models list``.
        overrides: Settings of the model or its network that replace those of the name.

    Raises:
        ModelError: If the name or a setting is unknown, or a value is invalid.

    Example:
        >>> config_of("x3d_s", num_labels=3).num_labels
        3
    """
    if name not in VARIANTS:
        similar = difflib.get_close_matches(str(name), VARIANTS, 3, 0.4)
        suggestion = f"did you mean {' or '.join(similar)}? " if similar else ""
        raise ModelError(f"unknown model {name!r}; {suggestion}`microg4m models list` shows all {len(VARIANTS)}")
    variant = VARIANTS[name]
    values = {key: getattr(variant, key) for key in (*COUNTS, "settings")}
    network = dataclasses.asdict(variant.spec)
    settings = (*sorted(values), *_CONFIG_SETTINGS)
    for key, value in overrides.items():
        if key not in network and key not in settings:
            known = ", ".join((*settings, *sorted(network)))
            raise ModelError(f"{name} has no setting {key!r}; use one of {known}")
        (network if key in network else values)[key] = value
    for key in COUNTS:
        if not isinstance(values[key], int) or values[key] < 1:
            raise ModelError(f"{name}: {key} is {values[key]!r}; give a whole number of at least 1")
    changed = {key for key, value in overrides.items() if key in network or value != getattr(variant, key, value)}
    if changed - {"num_labels"} or overrides.get("turn_pooling"):
        values["settings"] = "custom"
    if "id2label" in values:
        values.pop("num_labels")
    return MicroG4MHarConfig.of(spec_from_dict(family_of(variant.spec), network), variant=name, **values)


def create(name: str, **overrides: Any) -> MicroG4MHarForVideoClassification:
    """Create a model with freshly initialized weights.

    Args:
        name: A name of ``microg4m models list``. A published name has the published settings, quirks included;
            ``for_training`` returns the name of the corrected model.
        overrides: Settings of the model (``num_labels=3``, ``num_frames=16``) or its network (``width=32``). With
            ``turn_pooling=True``, logits are the same for a clip and its quarter turns.

    Example:
        >>> model = create("tiny_slow", num_labels=3)
        >>> model.head.projection.out_features
        3
    """
    return MicroG4MHarForVideoClassification(config_of(name, **overrides))


def wrap(encoder: Any, num_frames: int | None = None, **settings: Any) -> MicroG4MHarForVideoClassification:
    """Put the region head of the benchmark on a video encoder of transformers.

    Args:
        encoder: A config (for fresh weights), a model, a folder or a Hub id.
        num_frames: Frames of a clip. By default what the encoder was trained with.
        settings: Values of ``MicroG4MHarConfig`` that replace those of the encoder.

    Returns:
        The model, with a new head.

    Example:
        >>> from transformers import VideoMAEConfig
        >>> tiny = VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, hidden_size=8, num_hidden_layers=1,
        ...                       num_attention_heads=2, intermediate_size=16)
        >>> wrap(tiny).config.roi_stride
        16
    """
    from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

    if isinstance(encoder, PreTrainedConfig):
        inner, weights = encoder, None
    else:
        loaded = encoder if isinstance(encoder, PreTrainedModel) else AutoModel.from_pretrained(encoder)
        inner, weights = loaded.config, loaded.state_dict()
    frames = num_frames or getattr(inner, "num_frames", None) or getattr(inner, "frames_per_clip", 16)
    size = getattr(inner, "image_size", None) or getattr(inner, "crop_size", 224)
    size = size if isinstance(size, int) else next(iter(size or ()))
    defaults: dict[str, Any] = {"variant": inner.model_type, "num_frames": frames, "sampling_rate": 4}
    defaults |= {"train_size": size, "test_size": size, "roi_stride": patch_size(inner)[1]}
    # The encoders of transformers were trained with ImageNet's statistics.
    defaults |= {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    network = {key: value for key, value in inner.to_diff_dict().items() if key not in _NOT_OF_THE_NETWORK}
    network["model_type"] = inner.model_type
    config = MicroG4MHarConfig.of(TransformersSpec(network), **defaults | settings)
    model = MicroG4MHarForVideoClassification(config)
    if weights is not None:
        target = model.backbone.network.get_submodule("encoder")
        known = target.state_dict().keys()
        target.load_state_dict({key: value for key, value in weights.items() if key in known})
    return model


def count_parameters_and_gflops(config: MicroG4MHarConfig, size: int | None = None) -> tuple[int, float]:
    """Count parameters and billions of multiply-adds for one clip with one person, without computing anything.

    Convolutions, linear layers and attention count; norms, activations and pooling do not. One multiply-add counts
    once, as in the papers.

    Args:
        config: The model.
        size: Side of the square clip. By default the training size.

    Example:
        >>> parameters, gflops = count_parameters_and_gflops(config_of("x3d_s"))
        >>> parameters, round(gflops, 2)
        (2015828, 1.93)
    """
    with torch.device("meta"):
        model = MicroG4MHarForVideoClassification(config).eval()
        side = size or config.train_size
        clip = torch.zeros(1, 3, config.num_frames, side, side)
        box, owner = torch.zeros(1, 4), torch.zeros(1)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.classify(clip, box, owner)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 2e9
