"""The transformers models: a backbone that returns feature maps, and the region head on top of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForVideoClassification, PreTrainedModel, initialization as init
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


@dataclass
class HarFeatures(ModelOutput):
    """Output of ``MicroG4MHarModel``.

    Args:
        feature_maps: One per pathway, (clips, channels, time, height, width).
    """

    feature_maps: tuple[Tensor, ...] | None = None


@dataclass
class HarOutput(ModelOutput):
    """Output of ``MicroG4MHarForVideoClassification``.

    Args:
        loss: Mean binary cross entropy, when labels were given.
        logits: (people, classes), clip by clip.
        clip_index: The clip that each row belongs to.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    clip_index: Tensor | None = None


class RoIHead(nn.Module):
    """Pool the features of every region to one row of logits.

    Mean over time, RoIAlign, spatial max, concatenation of the pathways, dropout, one linear layer. Regions are pooled
    in float32 whatever the dtype of the features: half precision would move box corners by up to an eighth of a pixel.
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
        mean = feature.mean(2, dtype=torch.promote_types(feature.dtype, torch.float32))
        # sampling_ratio 0 takes as many samples as the region has cells
        cells = roi_align(mean, regions.to(mean.dtype), self.size, 1.0 / self.stride, sampling_ratio=0, aligned=True)
        return F.max_pool2d(cells, self.size).flatten(1)


_BACKBONES: dict[str, Callable[[Any, int], nn.Module]] = {
    "resnet": lambda spec, frames: ResNet(spec),
    "slowfast": SlowFast,
    "x3d": lambda spec, frames: X3D(spec),
    "mvit": MViT,
    "transformers": lambda spec, frames: WrappedEncoder(spec),
}

# Classes that must not be split between devices; a wrapped encoder of transformers names its own.
_NO_SPLIT_MODULES: dict[str, list[str]] = {
    "resnet": ["Stage"],
    "slowfast": ["Stage", "Fusion"],
    "x3d": ["Stage"],
    "mvit": ["MViTBlock"],
}


class MicroG4MHarPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialization that both models share."""

    config_class = MicroG4MHarConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    input_modalities = ["video"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: MicroG4MHarConfig) -> None:
        super().__init__(config)
        # FSDP rejects classes that the network does not contain.
        self._no_split_modules = _NO_SPLIT_MODULES.get(config.family, [])

    def get_input_embeddings(self) -> None:  # type: ignore[override]
        """Return None: the input is pixels. FSDP calls this."""
        return

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if self.config.family == "mvit":
            _init_mvit(module)
        elif self.config.family != "transformers":
            _init_convolutional(module)
        elif isinstance(module, RoIHead):  # the encoder is initialized by transformers
            _init_convolutional(module.projection)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a model as ``PreTrainedModel.from_pretrained`` does, with weights in main memory aligned.

        Tensors of a safetensors file start at any byte, and the CPU's matrix products round differently for unaligned
        weights: without this, the logits of a loaded model could differ from those of the saved one in the last bit.
        """
        loaded = super().from_pretrained(*args, **kwargs)
        for parameter in (loaded[0] if isinstance(loaded, tuple) else loaded).parameters():
            if parameter.device.type == "cpu" and parameter.data_ptr() % 64:  # bytes, as torch allocates
                parameter.data = parameter.data.clone()
        return loaded


class MicroG4MHarModel(MicroG4MHarPreTrainedModel):
    """The backbone: clips (B, 3, T, H, W) to feature maps, one per pathway.

    Args:
        config: The configuration of the model; ``config_of`` returns that of a name.
    """

    def __init__(self, config: MicroG4MHarConfig) -> None:
        super().__init__(config)
        self.network = _BACKBONES[config.family](config.spec, config.num_frames)
        if isinstance(self.network, WrappedEncoder):
            self._no_split_modules = self.network.no_split_modules()
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> HarFeatures:
        check_shape(pixel_values, self.config)
        if self.config.check_inputs and not torch.compiler.is_compiling():
            check_values(pixel_values)
        return HarFeatures(feature_maps=tuple(self.network(pixel_values)))


class MicroG4MHarForVideoClassification(MicroG4MHarPreTrainedModel):
    """Classify the actions of every person in a clip: ``model(pixel_values=clips, boxes=boxes).logits``.

    Args:
        config: The configuration of the model; ``config_of`` returns that of a name.
    """

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
        """Return one row of logits per box.

        Args:
            pixel_values: Normalized clips (B, 3, T, H, W), where T is the model's ``num_frames``.
            boxes: One (n, 4) tensor of normalized xyxy per clip, or a padded tensor (B, n, 4).
            labels: Multi-hot (people, classes) in the order of the boxes, a list of (n, classes), or padded.
            box_mask: Which rows of padded boxes are people. By default, rows without a positive number are padding.
            return_dict: False returns a tuple.

        Returns:
            A ``HarOutput``, or a tuple of its values that are not None.

        Raises:
            ModelError: If clips, boxes or labels do not fit the model or each other.
        """
        check_shape(pixel_values, self.config)
        if boxes is None:
            raise ModelError("no boxes given: the model classifies people, so pass boxes=[(n, 4) per clip]")
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
            # Without people the loss is zero; the mean over no rows would be NaN.
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets) if len(logits) else logits.float().sum()
        output = HarOutput(loss=loss, logits=logits, clip_index=owners)
        return output.to_tuple() if return_dict is False else output

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:  # type: ignore[override]
        """Save the model as ``PreTrainedModel.save_pretrained`` does, with its processor unless there is one."""
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


# Initial weights of the published networks. ``transformers.initialization`` leaves alone what a checkpoint has filled.


def _init_convolutional(module: nn.Module) -> None:
    """He normal (fan out) convolutions, N(0, 0.01) linear layers, and residual branches that start at zero."""
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


def _init_mvit(module: nn.Module) -> None:
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


AutoModel.register(MicroG4MHarConfig, MicroG4MHarModel, exist_ok=True)
AutoModelForVideoClassification.register(MicroG4MHarConfig, MicroG4MHarForVideoClassification, exist_ok=True)
