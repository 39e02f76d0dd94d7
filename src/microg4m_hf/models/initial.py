"""Initial weights, as the published networks were initialised before their checkpoints were loaded.

Everything goes through ``transformers.initialization``, which leaves tensors alone that a checkpoint has filled.
"""

from __future__ import annotations

from torch import nn
from transformers import initialization as init

from .layers import BatchNorm
from .mvit import MViT
from .mvit_attention import PoolingAttention


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
