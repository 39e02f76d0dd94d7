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
from ..hub import hub_client
from .backbones.layers import BatchNorm
from .backbones.mvit import MViT, PoolingAttention
from .backbones.resnet import ResNet
from .backbones.slowfast import SlowFast
from .backbones.transformers_encoder import WrappedEncoder
from .backbones.x3d import X3D
from .configuration import MicroG4MHarConfig
from .hub_files import CodeInPackage, write_hub_card
from .inputs import (
    Boxes,
    check_boxes,
    check_shape,
    check_values,
    flatten_boxes,
    round_boxes,
    to_regions,
    turn_boxes,
    turn_clips,
)


@dataclass
class HarFeatures(ModelOutput):
    """Output of ``MicroG4MHarModel``.

    Args:
        feature_maps: One per pathway, (clips, channels, time, height, width).
        hidden_states: With ``output_hidden_states=True``, what the stem and every stage put out, as maps like the
            above; of SlowFast, the slow and the fast pathway in turn. Of transformers, what the embedding and every
            block put out, as tokens (clips, tokens, channels).
    """

    feature_maps: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor | None, ...] | None = None


@dataclass
class HarOutput(ModelOutput):
    """Output of ``MicroG4MHarForVideoClassification``.

    Args:
        loss: Mean binary cross entropy, when labels were given.
        logits: (people, classes), clip by clip.
        clip_index: The clip that each row belongs to.
        hidden_states: Those of the backbone, see ``HarFeatures``.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    clip_index: Tensor | None = None
    hidden_states: tuple[Tensor | None, ...] | None = None


class RoIHead(nn.Module):
    """Pool the features of every region to one row of logits.

    Mean over time, RoIAlign, spatial max, concatenation of the pathways, dropout, one linear layer. Regions are pooled
    in float32 whatever the dtype of the features: half precision would move box corners by up to an eighth of a pixel.
    With turn pooling, the mean over the turns comes before dropout.
    """

    def __init__(self, dims: Sequence[int], num_labels: int, stride: int, size: int, dropout: float) -> None:
        super().__init__()
        self.stride, self.size, self.dropout_rate = stride, size, dropout
        # Imported here: torch.compile cannot trace an import inside forward.
        self.roi_align = extras.require("torchvision.ops", "pooling regions of people").roi_align
        self.projection = nn.Linear(sum(dims), num_labels)

    def forward(self, *groups: tuple[Sequence[Tensor], Tensor], turns: int = 1) -> Tensor:
        """Return the logits of people.

        Args:
            groups: Feature maps of clips, one per pathway, and the regions in them.
            turns: How many copies of the clips the groups have together; each has the same people in the same order.
        """
        pooled = torch.cat([self._pool_pathways(*group) for group in groups])
        if turns > 1:
            pooled = pooled.reshape(turns, pooled.shape[0] // turns, pooled.shape[1]).mean(0)
        pooled = F.dropout(pooled.to(self.projection.weight.dtype), self.dropout_rate, self.training)
        return self.projection(pooled)

    def _pool_pathways(self, features: Sequence[Tensor], regions: Tensor) -> Tensor:
        return torch.cat([self._pool(feature, regions) for feature in features], 1)

    def _pool(self, feature: Tensor, regions: Tensor) -> Tensor:
        mean = feature.mean(2, dtype=torch.promote_types(feature.dtype, torch.float32))
        # sampling_ratio 0 takes as many samples as the region has cells
        scale = 1.0 / self.stride
        cells = self.roi_align(mean, regions.to(mean.dtype), self.size, scale, sampling_ratio=0, aligned=True)
        return F.max_pool2d(cells, self.size).flatten(1)


_BACKBONES: dict[str, Callable[[Any], nn.Module]] = {
    "resnet": lambda config: ResNet(config.spec),
    "slowfast": lambda config: SlowFast(config.spec, config.num_frames),
    "x3d": lambda config: X3D(config.spec),
    "mvit": lambda config: MViT(config.spec, config.num_frames),
    "transformers": lambda config: WrappedEncoder(config.spec, config._attn_implementation),
}

# Classes that must not be split between devices; a wrapped encoder of transformers names its own.
_NO_SPLIT_MODULES: dict[str, list[str]] = {
    "resnet": ["Stage"],
    "slowfast": ["Stage", "Fusion"],
    "x3d": ["Stage"],
    "mvit": ["MViTBlock"],
}


class MicroG4MHarPreTrainedModel(CodeInPackage, PreTrainedModel):
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

    def _upload_modified_files(
        self, working_dir: str | os.PathLike[str], repo_id: str, *args: Any, **kwargs: Any
    ) -> Any:
        """Replace the empty card that transformers has just written, unless the repository has a card already."""
        if not hub_client(kwargs.get("token")).file_exists(repo_id, "README.md"):
            write_hub_card(self, repo_id, Path(working_dir) / "README.md")
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)

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
        self.network = _BACKBONES[config.family](config)
        if isinstance(self.network, WrappedEncoder):
            self._no_split_modules = self.network.no_split_modules()
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool | int | Sequence[int] | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> HarFeatures | tuple[Any, ...]:
        """Return the feature maps of clips.

        Args:
            pixel_values: Normalized clips (B, 3, T, H, W), where T is the model's ``num_frames``.
            output_hidden_states: Also return the output of every stage, or of those with the given indices. By default
                what the config says.
            return_dict: False returns a tuple. By default what the config says.

        Returns:
            A ``HarFeatures``, or a tuple of its values that are not None.

        Raises:
            ModelError: If the clips do not fit the model.
        """
        check_shape(pixel_values, self.config)
        if self.config.check_inputs and not torch.compiler.is_compiling():
            check_values(pixel_values)
        wanted: Any = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        states: list[Tensor] | None = None if wanted is None or wanted is False else []
        maps = self.network(pixel_values, states)
        kept = None if states is None else _select(states, wanted)
        output = HarFeatures(feature_maps=tuple(maps), hidden_states=kept)
        return output if _choose(return_dict, self.config.return_dict) else output.to_tuple()


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
        output_hidden_states: bool | int | Sequence[int] | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> HarOutput | tuple[Any, ...]:
        """Return one row of logits per box.

        Args:
            pixel_values: Normalized clips (B, 3, T, H, W), where T is the model's ``num_frames``.
            boxes: One (n, 4) tensor of normalized xyxy per clip; a padded tensor (B, n, 4); or one tensor (people, 5)
                of clip, x1, y1, x2, y2, as RoIAlign takes it, which suits compilation and export.
            labels: Multi-hot (people, classes) in the order of the boxes, a list of (n, classes), or padded.
            box_mask: Which rows of padded boxes are people. By default, rows without a positive number are padding.
            output_hidden_states: Also return the output of every stage, or of those with the given indices. By default
                what the config says. With turn pooling, it is that of the clips as they are given.
            return_dict: False returns a tuple. By default what the config says.

        Returns:
            A ``HarOutput``, or a tuple of its values that are not None.

        Raises:
            ModelError: If clips, boxes or labels do not fit the model or each other.
        """
        check_shape(pixel_values, self.config)
        if boxes is None:
            raise ModelError("no boxes given, but the model classifies people; pass boxes=[(n, 4) per clip]")
        flat, owners = flatten_boxes(boxes, pixel_values.shape[0], pixel_values.device, box_mask)
        if self.config.check_inputs and not torch.compiler.is_compiling():
            check_boxes(flat)
        logits, hidden_states = self.classify(pixel_values.to(self.dtype), flat, owners, output_hidden_states)
        loss = None
        if labels is not None:
            targets = self._targets(labels, boxes, box_mask, logits)
            # Without people the loss is zero; the mean over no rows would be NaN.
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets) if len(logits) else logits.float().sum()
        output = HarOutput(loss=loss, logits=logits, clip_index=owners, hidden_states=hidden_states)
        return output if _choose(return_dict, self.config.return_dict) else output.to_tuple()

    def classify(
        self,
        clips: Tensor,
        boxes: Tensor,
        owners: Tensor,
        output_hidden_states: bool | int | Sequence[int] | None = None,
    ) -> tuple[Tensor, tuple[Tensor | None, ...] | None]:
        """Return logits and hidden states for boxes that ``flatten_boxes`` returned, without checking the inputs.

        Args:
            clips: Normalized clips (B, 3, T, H, W).
            boxes: Normalized xyxy (people, 4).
            owners: The clip of each box.
            output_hidden_states: As for ``forward``.
        """
        batch, height, width = clips.shape[0], clips.shape[3], clips.shape[4]
        if not self.config.turn_pooling:
            features = self.backbone(clips, output_hidden_states, return_dict=True)
            regions = to_regions(boxes, owners, height, width).to(features.feature_maps[0].device)
            return self.head((features.feature_maps, regions)), features.hidden_states
        if self.config.family == "transformers" and height != width:
            raise ModelError(
                f"turn pooling gives {self.config.variant} clips of {height}x{width} and {width}x{height} pixels, but "
                "an encoder of transformers takes one size; crop a square (in a recipe: data.crop, "
                "data.validation_crop and data.test_crop)"
            )
        boxes, groups, states = round_boxes(boxes), [], None
        for turns in [(0, 1, 2, 3)] if height == width else [(0, 2), (1, 3)]:  # turns of one size go in one pass
            turned = torch.cat([turn_clips(clips, quarters) for quarters in turns])
            features = self.backbone(turned, output_hidden_states if 0 in turns else False, return_dict=True)
            places = torch.cat([turn_boxes(boxes, quarters) for quarters in turns])
            numbers = torch.cat([owners + number * batch for number in range(len(turns))])
            regions = to_regions(places, numbers, turned.shape[3], turned.shape[4])
            groups.append((features.feature_maps, regions.to(features.feature_maps[0].device)))
            if 0 in turns and features.hidden_states is not None:
                states = tuple(None if state is None else state[:batch] for state in features.hidden_states)
        return self.head(*groups, turns=4), states

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


def _choose(argument: bool | None, setting: Any) -> bool:
    """The value of an argument, or of the config where the argument is not given."""
    return bool(setting if argument is None else argument)


def _select(states: list[Tensor], wanted: bool | int | Sequence[int]) -> tuple[Tensor | None, ...]:
    """All hidden states, or None in the place of those that are not among the wanted indices."""
    if wanted is True:
        return tuple(states)
    indices = {index % len(states) for index in ([wanted] if isinstance(wanted, int) else wanted)}
    return tuple(state if place in indices else None for place, state in enumerate(states))


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
