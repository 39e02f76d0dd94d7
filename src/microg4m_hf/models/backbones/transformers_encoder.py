"""A video encoder of transformers that returns a grid of tokens, as a backbone."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from ...errors import ModelError
from ..specs import TransformersSpec


class WrappedEncoder(nn.Module):
    """Pass a clip to the encoder as (B, T, 3, H, W) and return its tokens as a grid (B, C, T', H', W').

    Tokens before the grid (class, registers) are dropped. The size of the grid follows from the clip and the encoder's
    patch and tubelet sizes.
    """

    def __init__(self, spec: TransformersSpec, attn_implementation: str | None = None) -> None:
        super().__init__()
        values = dict(spec.config)
        model_type = values.pop("model_type", None)
        if model_type is None:
            raise ModelError("the config of a wrapped encoder has no model_type; add one such as 'videomae'")
        config = AutoConfig.for_model(model_type, **values)
        if model_type == "timesformer":
            raise ModelError(
                "timesformer cannot be wrapped: it orders its tokens by place, not by time; use e.g. videomae"
            )
        self.encoder = AutoModel.from_config(config, attn_implementation=attn_implementation)
        # Parts that do not contribute to the token grid: their weights would get no gradient.
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None
        if model_type == "vjepa2":
            self.encoder.predictor = nn.Identity()
        self.input_name = self.encoder.main_input_name
        self.tubelet, self.patch = patch_size(config)
        self.skip_predictor = model_type == "vjepa2"
        self.out_dims = [config.hidden_size]

    def no_split_modules(self) -> list[str]:
        """Return the classes inside the encoder that must not be split between devices."""
        present = {type(module).__name__ for module in self.encoder.modules()}
        return sorted(present & set(self.encoder._no_split_modules or ()))

    def forward(self, clip: Tensor, states: list[Tensor] | None = None) -> list[Tensor]:
        extra = {"skip_predictor": True} if self.skip_predictor else {}
        inputs = {self.input_name: clip.transpose(1, 2)}
        output = self.encoder(**inputs, **extra, output_hidden_states=states is not None)
        if states is not None:
            states.extend(output.hidden_states)
        tokens = output.last_hidden_state
        _, _, frames, height, width = clip.shape
        grid = (frames // self.tubelet, height // self.patch, width // self.patch)
        count = grid[0] * grid[1] * grid[2]
        if tokens.shape[1] < count:
            raise ModelError(
                f"the encoder returned {tokens.shape[1]} tokens for a grid of {grid}; choose another, such as videomae"
            )
        return [tokens[:, tokens.shape[1] - count :].transpose(1, 2).unflatten(2, grid)]


def patch_size(config: Any) -> tuple[int, int]:
    """Return the frames and the pixels per token of a video encoder, which configs store in several ways."""
    tubelet = getattr(config, "tubelet_size", 1)
    patch = getattr(config, "patch_size", None) or tubelet
    return (tubelet if isinstance(tubelet, int) else tubelet[0]), (patch if isinstance(patch, int) else patch[-1])
