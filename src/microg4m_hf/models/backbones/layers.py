"""Layers that several families share: batch norm, stages, residual and non-local blocks, stochastic depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from ...errors import ModelError
from .packed import PackedConvolution


class BatchNorm(nn.BatchNorm3d):
    """Batch normalization that updates its running statistics once per batch, also under gradient checkpointing.

    Gradient checkpointing runs a block again during the backward pass, and torch's own layer would then update its
    statistics twice.
    """

    def __init__(self, channels: int, zero_gain: bool = False) -> None:
        super().__init__(channels, eps=1e-5, momentum=0.1)
        self.zero_gain = zero_gain  # for the last norm of a residual branch: the block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
            # A momentum of 0 keeps the running statistics.
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, 0.0, self.eps)
        return super().forward(x)


class DropPath(nn.Module):
    """Stochastic depth: drop a residual branch for random clips of a batch during training.

    >>> DropPath(0.5).eval()(torch.ones(2, 3)).sum().item()
    6.0
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * mask / keep


def convolve(conv: nn.Module, norm: nn.Module, x: Tensor, *, relu: bool = False, add: Tensor | None = None) -> Tensor:
    """Return the norm of a convolution, plus ``add``, after a ReLU if that is asked for."""
    if isinstance(conv, PackedConvolution):
        return conv(x, relu, add)
    x = norm(apply_convolution(conv, x))
    if add is not None:
        x = add + x
    return F.relu(x, inplace=True) if relu else x


def apply_convolution(conv: nn.Module, x: Tensor) -> Tensor:
    """Return the convolution; that of pixels, frame by frame, is trained in float32 on a CPU.

    In bfloat16, oneDNN's gradient of the weights of such a convolution writes beyond its memory for few frames, on
    processors with AMX (torch 2.15).
    """
    if not (isinstance(conv, nn.Conv3d) and conv.in_channels == 3 and conv.kernel_size[0] == 1):
        return conv(x)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else conv.weight.dtype
    if x.device.type != "cpu" or dtype not in (torch.bfloat16, torch.float16) or not torch.is_grad_enabled():
        return conv(x)
    with torch.autocast("cpu", enabled=False):
        bias = None if conv.bias is None else conv.bias.float()
        y = F.conv3d(x.float(), conv.weight.float(), bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    return y.to(dtype)


class Stage(nn.Module):
    """One stage of a network: the blocks of every pathway, as submodules ``pathway{p}_{name}``."""

    def __init__(self, *pathways: dict[str, nn.Module]) -> None:
        super().__init__()
        self.order = [[f"pathway{p}_{name}" for name in blocks] for p, blocks in enumerate(pathways)]
        for p, blocks in enumerate(pathways):
            for name, block in blocks.items():
                self.add_module(f"pathway{p}_{name}", block)

    def forward(self, clips: list[Tensor]) -> list[Tensor]:
        return [self._run(names, clip) for names, clip in zip(self.order, clips, strict=True)]

    def _run(self, names: list[str], x: Tensor) -> Tensor:
        for name in names:
            x = self._modules[name](x)  # type: ignore[misc]
        return x


class ResidualBlock(GradientCheckpointingLayer):
    """``relu(shortcut(x) + branch(x))``; the shortcut is a convolution where width or size change.

    ``branch2`` gets the shortcut too, and returns the result.
    """

    branch2: nn.Module

    def __init__(self, dim_in: int, dim_out: int, stride: int) -> None:
        super().__init__()
        if dim_in != dim_out or stride != 1:
            self.branch1 = nn.Conv3d(dim_in, dim_out, 1, (1, stride, stride), bias=False)
            self.branch1_bn = BatchNorm(dim_out)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = convolve(self.branch1, self.branch1_bn, x) if hasattr(self, "branch1") else x
        return self.branch2(x, shortcut)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention with one head, over ``(batch, positions, width)``.

    torch's kernels for GPUs want an axis of heads; without it, torch computes in float32 and keeps all weights.
    """
    if not query.is_cuda:
        return F.scaled_dot_product_attention(query, key, value)
    query, key, value = (one.contiguous().unsqueeze(1) for one in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).squeeze(1)


class NonLocal(nn.Module):
    """Attention over all positions of a clip (Wang et al. 2018), with 1x1x1 convolutions as projections.

    Computes ``x + norm(out(attention(theta(x), phi(pool(x)), g(pool(x)))))``. ``softmax`` scales by the square root of
    the inner width; ``dot_product`` divides by the number of keys.
    """

    def __init__(self, dim: int, pool: tuple[int, int, int], kind: str) -> None:
        super().__init__()
        if kind not in {"softmax", "dot_product"}:
            raise ModelError(f"unknown non-local kind {kind!r}; use 'softmax' or 'dot_product'")
        inner = dim // 2
        self.kind, self.pool = kind, pool
        self.conv_theta = nn.Conv3d(dim, inner, 1)
        self.conv_phi = nn.Conv3d(dim, inner, 1)
        self.conv_g = nn.Conv3d(dim, inner, 1)
        self.conv_out = nn.Conv3d(inner, dim, 1)
        self.bn = BatchNorm(dim, zero_gain=True)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool3d(x, self.pool, self.pool) if max(self.pool) > 1 else x
        query, key, value = (
            conv(t).flatten(2).transpose(1, 2)
            for conv, t in ((self.conv_theta, x), (self.conv_phi, pooled), (self.conv_g, pooled))
        )
        if self.kind == "softmax":
            mixed = attend(query, key, value)
        else:
            # Linear attention: (QKᵀ)V = Q(KᵀV), and KᵀV is small.
            mixed = query @ (key.transpose(1, 2) @ value / key.shape[1])
        grid = mixed.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])
        return convolve(self.conv_out, self.bn, grid, add=x)
