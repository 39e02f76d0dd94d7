"""The transformers models: a backbone that gives feature maps, and the benchmark's head on top of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForVideoClassification, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .. import extras
from ..errors import ModelError
from .backbones.layers import BatchNorm
from .backbones.mvit import MViT, PoolingAttention
from .backbones.resnet import ResNet
from .backbones.slowfast import SlowFast
from .backbones.transformers_encoder import WrappedEncoder
from .backbones.x3d import X3D
from .configuration import MicroG4MHarConfig
from .inputs import Boxes, check_boxes, check_shape, check_values, flatten_boxes, to_regions

# The region head: what happens at a person's box, over all frames, to one row of logits.


class RoIHead(nn.Module):
    """Mean over time, RoIAlign, spatial max, pathways side by side, dropout, one linear layer.

    Regions are pooled in float32 whatever the features are: rounding box corners to half precision moves them by
    up to an eighth of a pixel.
    """

    def __init__(self, dims: Sequence[int], num_labels: int, stride: int, size: int, dropout: float) -> None:
        super().__init__()
        self.stride, self.size, self.dropout_rate = stride, size, dropout
        self.projection = nn.Linear(sum(dims), num_labels)

    def forward(self, features: Sequence[Tensor], regions: Tensor) -> Tensor:
        pooled = torch.cat([self._pool(feature, regions) for feature in features], 1)
        pooled = F.dropout(pooled.to(self.projection.weight.dtype), self.dropout_rate, self.training)
        return self.projection(pooled)

    def _pool(self, feature: Tensor, regions: Tensor) -> Tensor:
        roi_align = extras.require("torchvision.ops", "pooling regions of people").roi_align
        still = feature.mean(2, dtype=torch.promote_types(feature.dtype, torch.float32))
        # sampling_ratio 0: as many samples as the region has cells
        regions = regions.to(still.dtype)
        cells = roi_align(still, regions, self.size, 1.0 / self.stride, sampling_ratio=0, aligned=True)
        return F.max_pool2d(cells, self.size).flatten(1)


# Initial weights, as the published networks were initialised before their checkpoints were loaded.
#
# Everything goes through ``transformers.initialization``, which leaves tensors alone that a checkpoint has filled.


def init_convolutional(module: nn.Module) -> None:
    """He normal (fan out) convolutions, N(0, 0.01) linear layers, residual branches that start at zero."""
    if isinstance(module, nn.Conv3d):
        init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        init.normal_(module.weight, mean=0.0, std=0.01)
        init.zeros_(module.bias)
    elif isinstance(module, BatchNorm):
        init.constant_(module.weight, 0.0 if module.zero_gain else 1.0)
        init.zeros_(module.bias)
        for buffer, fill in (("running_mean", 0.0), ("running_var", 1.0), ("num_batches_tracked", 0)):
            init.constant_(module.get_buffer(buffer), fill)


def init_mvit(module: nn.Module) -> None:
    """Truncated normal 0.02 everywhere; biases of linear layers and norms 0.02."""
    if isinstance(module, nn.Linear | nn.Conv3d):
        init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            init.constant_(module.bias, 0.02)
    elif isinstance(module, nn.LayerNorm):
        init.ones_(module.weight)
        init.constant_(module.bias, 0.02)
    elif isinstance(module, MViT | PoolingAttention):
        for parameter in module.parameters(recurse=False):  # class token, positions
            init.trunc_normal_(parameter, std=0.02)


def init_head(module: nn.Linear) -> None:
    """The linear layer on top of somebody else's encoder."""
    init.normal_(module.weight, mean=0.0, std=0.01)
    init.zeros_(module.bias)


# What the models return.


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


_ALIGNMENT = 64  # bytes, as torch allocates

_BUILDERS: dict[str, Callable[[Any, int], nn.Module]] = {
    "resnet": lambda spec, frames: ResNet(spec),
    "slowfast": SlowFast,
    "x3d": lambda spec, frames: X3D(spec),
    "mvit": MViT,
    "transformers": lambda spec, frames: WrappedEncoder(spec),
}

# What is never split between devices; a wrapped encoder of transformers names its own.
_UNITS: dict[str, list[str]] = {
    "resnet": ["Stage"],
    "slowfast": ["Stage", "Fusion"],
    "x3d": ["Stage"],
    "mvit": ["Block"],
    "transformers": [],
}


class MicroG4MHarPreTrainedModel(PreTrainedModel):
    config_class = MicroG4MHarConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    input_modalities = ["video"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: MicroG4MHarConfig) -> None:
        super().__init__(config)
        # Only classes that the network has: FSDP, which makes a unit of each, refuses others.
        self._no_split_modules = _UNITS[config.family]

    def get_input_embeddings(self) -> None:  # type: ignore[override]
        """There are none: pixels come in. Sharding by FSDP asks."""
        return

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        family = self.config.family
        if family == "transformers":
            if isinstance(module, RoIHead):
                init_head(module.projection)
        elif family == "mvit":
            init_mvit(module)
        else:
            init_convolutional(module)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As for every transformers model; weights in main memory are put where vector instructions like them.

        Tensors of a safetensors file start anywhere, and the CPU's matrix products round differently for such
        weights: without this a loaded model would differ from the saved one in the last bit.
        """
        loaded = super().from_pretrained(*args, **kwargs)
        for parameter in (loaded[0] if isinstance(loaded, tuple) else loaded).parameters():
            if parameter.device.type == "cpu" and parameter.data_ptr() % _ALIGNMENT:
                parameter.data = parameter.data.clone()
        return loaded


class MicroG4MHarModel(MicroG4MHarPreTrainedModel):
    """Clips (B, 3, T, H, W) to feature maps, one per pathway."""

    def __init__(self, config: MicroG4MHarConfig) -> None:
        super().__init__(config)
        self.network = _BUILDERS[config.family](config.spec, config.num_frames)
        if isinstance(self.network, WrappedEncoder):
            self._no_split_modules = self.network.units()
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> HarFeatures:
        check_shape(pixel_values, self.config)
        if self.config.check_inputs and not torch.compiler.is_compiling():
            check_values(pixel_values)
        return HarFeatures(feature_maps=tuple(self.network(pixel_values)))


class MicroG4MHarForVideoClassification(MicroG4MHarPreTrainedModel):
    """What every person in a clip does: ``model(pixel_values=clips, boxes=boxes).logits``."""

    def __init__(self, config: MicroG4MHarConfig) -> None:
        super().__init__(config)
        self.backbone = MicroG4MHarModel(config)
        dims: list[int] = self.backbone.network.out_dims  # type: ignore[assignment]
        self.head = RoIHead(dims, len(config.id2label or {}), config.roi_stride, config.roi_size, config.dropout)
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor,
        boxes: Boxes | None = None,
        labels: Tensor | Sequence[Any] | None = None,
        box_mask: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> HarOutput | tuple[Tensor, ...]:
        """Logits for every box.

        Args:
            pixel_values: clips (B, 3, T, H, W), normalised; T is the model's ``num_frames``.
            boxes: per clip an (n, 4) tensor of normalised xyxy, or a padded tensor (B, n, 4).
            labels: multi-hot (people, classes) in the order of the boxes, a list of (n, classes), or padded.
            box_mask: which rows of padded boxes are people; without it, rows with no positive number are padding.
        """
        check_shape(pixel_values, self.config)
        if boxes is None:
            raise ModelError("no boxes given: this model says what people do, pass boxes=[(n, 4) per clip]")
        batch, (height, width) = len(pixel_values), pixel_values.shape[3:]
        flat, owners = flatten_boxes(boxes, batch, pixel_values.device, box_mask)
        if self.config.check_inputs and not torch.compiler.is_compiling():
            check_boxes(flat)
        features = self.backbone(pixel_values.to(self.dtype)).feature_maps
        regions = to_regions(flat, owners, height, width).to(features[0].device)
        logits = self.head(features, regions)
        loss = None
        if labels is not None:
            targets = self._targets(labels, boxes, box_mask, logits)
            # Without people there is nothing to learn from: zero, not the mean of nothing.
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets) if len(logits) else logits.float().sum()
        output = HarOutput(loss=loss, logits=logits, clip_index=owners)
        return output.to_tuple() if return_dict is False else output

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:  # type: ignore[override]
        """As for every transformers model; the processor is written beside it unless one is there."""
        from .processing import MicroG4MHarProcessor

        super().save_pretrained(save_directory, **kwargs)
        if kwargs.get("is_main_process", True) and not (Path(save_directory) / "processor_config.json").exists():
            config: Any = self.config
            MicroG4MHarProcessor.for_model(config).save_pretrained(save_directory)

    def _targets(self, labels: Any, boxes: Boxes, box_mask: Tensor | None, logits: Tensor) -> Tensor:
        if isinstance(labels, Tensor) and labels.ndim == 3 and isinstance(boxes, Tensor):
            keep = box_mask.bool() if box_mask is not None else (boxes > 0).any(-1)
            targets = labels[keep.to(labels.device)]
        elif isinstance(labels, Tensor):
            targets = labels.reshape(-1, logits.shape[1]) if labels.ndim == 3 else labels
        else:
            rows = [torch.as_tensor(rows).reshape(-1, logits.shape[1]) for rows in labels]
            targets = torch.cat(rows) if rows else logits.new_zeros(0, logits.shape[1])
        if targets.shape != logits.shape:
            raise ModelError(
                f"labels of shape {tuple(targets.shape)} for logits of shape {tuple(logits.shape)}: give one "
                "multi-hot row per box, in the order of the boxes"
            )
        return targets.to(logits.device, torch.float32)


AutoModel.register(MicroG4MHarConfig, MicroG4MHarModel, exist_ok=True)
AutoModelForVideoClassification.register(MicroG4MHarConfig, MicroG4MHarForVideoClassification, exist_ok=True)
