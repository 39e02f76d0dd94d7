"""Copies of networks for predictions on a CPU: batch norms folded, and several operations in each call of oneDNN."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDE = 192  # a float32 linear layer with as many inputs is as fast as it is


class PackedConvolution(nn.Module):
    """A convolution with the norm behind it, which also adds a shortcut and takes a ReLU while results are in cache.

    oneDNN wants weights in another order for each shape. They are ordered for the first shape of features; those of
    other shapes cost an ordering in each call.

    Args:
        conv: The convolution.
        norm: The batch norm behind it, in evaluation mode, or None.
        dtype: The data type of weights and features.
    """

    def __init__(self, conv: nn.Conv3d, norm: nn.BatchNorm3d | None, dtype: torch.dtype) -> None:
        super().__init__()
        weight = conv.weight.detach().double()
        bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach().double()
        if norm is not None:
            gain = norm.weight.detach().double() / (norm.get_buffer("running_var").double() + norm.eps).sqrt()
            weight = weight * gain[:, None, None, None, None]
            bias = norm.bias.detach().double() + (bias - norm.get_buffer("running_mean").double()) * gain
        self.dtype, self.weight, self.bias = dtype, weight.to(dtype), bias.to(dtype)
        self.place = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.shape: torch.Size | None = None
        self.ordered = self.weight

    def forward(self, x: Tensor, relu: bool = False, add: Tensor | None = None) -> Tensor:
        x = x.to(self.dtype, memory_format=torch.channels_last_3d)
        if self.shape is None:
            self.ordered = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self.place, list(x.shape))
            self.shape = x.shape
        weight = self.ordered if x.shape == self.shape else self.weight
        if add is None:
            one, after = torch.ops.mkldnn._convolution_pointwise, "relu" if relu else "none"
            return one(x, weight, self.bias, *self.place, after, [], "")
        add = add.to(self.dtype, memory_format=torch.channels_last_3d)
        both, then = torch.ops.mkldnn._convolution_pointwise.binary, "relu" if relu else None
        return both(x, add, weight, self.bias, *self.place, "add", 1.0, then, [], None)


class PackedLinear(nn.Module):
    """A linear layer, and the GELU behind it, with weights that are ordered for the first number of rows.

    Args:
        linear: The layer.
        gelu: Whether a GELU follows.
        dtype: The data type of weights and features.
    """

    def __init__(self, linear: nn.Linear, gelu: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.gelu, self.dtype, self.weight = gelu, dtype, linear.weight.detach().to(dtype)
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        self.rows, self.ordered = 0, self.weight

    def forward(self, x: Tensor) -> Tensor:
        x, rows = x.to(self.dtype), x.numel() // x.shape[-1]
        if self.rows == 0:
            self.rows, self.ordered = rows, torch.ops.mkldnn._reorder_linear_weight(self.weight, rows)
        if rows == self.rows:
            after = "gelu" if self.gelu else "none"
            return torch.ops.mkldnn._linear_pointwise(x, self.ordered, self.bias, after, [], "none")
        x = F.linear(x, self.weight, self.bias)
        return F.gelu(x) if self.gelu else x


def pack(network: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a copy of a network with packed layers; it shares all other weights.

    A batch norm belongs to the convolution that is registered before it, and a GELU of a ``Sequential`` to the linear
    layer before it.

    Args:
        network: A network in evaluation mode, on the CPU.
        dtype: The data type of packed layers: float32, or bfloat16 for use under autocast.
    """
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    copied = copy.deepcopy(network, shared)
    for module in list(copied.modules()):
        children = [*module.named_children(), ("", None)]
        for (name, child), (next_name, following) in itertools.pairwise(children):
            if type(child) is nn.Conv3d:
                norm = following if isinstance(following, nn.BatchNorm3d) else None
                setattr(module, name, PackedConvolution(child, norm, dtype))
                if norm is not None:
                    setattr(module, next_name, nn.Identity())
            elif type(child) is nn.Linear:
                exact = isinstance(following, nn.GELU) and following.approximate == "none"
                gelu = isinstance(module, nn.Sequential) and exact
                if dtype is torch.float32 and child.in_features >= WIDE and not gelu:
                    continue
                setattr(module, name, PackedLinear(child, gelu, dtype))
                if gelu:
                    setattr(module, next_name, nn.Identity())
    return copied
