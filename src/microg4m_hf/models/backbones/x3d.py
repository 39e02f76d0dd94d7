"""X3D (Feichtenhofer 2020): channel-wise 3x3x3 convolutions with squeeze-and-excitation."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from ..specs import X3DSpec
from .layers import BatchNorm, ResidualBlock, Stage, apply_convolution, convolve


def round_width(width: float, factor: float, divisor: int = 8) -> int:
    """Return ``width * factor``, rounded to a multiple of 8 and never down by more than 10 %.

    >>> round_width(12, 2.0), round_width(216, 0.0625), round_width(432, 0.0625)
    (24, 16, 32)
    """
    scaled = width * factor
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * scaled else rounded


class X3DStem(nn.Module):
    """A 3x3 convolution in space, then a channel-wise one in time; halves height and width, no pooling."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.conv_xy = nn.Conv3d(3, dim, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.conv = nn.Conv3d(dim, dim, (kernel, 1, 1), padding=(kernel // 2, 0, 0), groups=dim, bias=False)
        self.bn = BatchNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return convolve(self.conv, self.bn, apply_convolution(self.conv_xy, x), relu=True)


class SqueezeExcite(nn.Module):
    """Scale every channel by a weight computed from its mean over the whole clip."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        inner = round_width(dim, ratio)
        self.fc1 = nn.Conv3d(dim, inner, 1)
        self.fc2 = nn.Conv3d(inner, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = x.mean((2, 3, 4), keepdim=True)
        return x * self.fc2(F.relu(self.fc1(squeezed), inplace=True)).sigmoid()


class X3DBranch(nn.Module):
    """Expand (a), convolve each channel by itself (b), project back (c)."""

    def __init__(self, dim_in: int, dim_inner: int, dim_out: int, stride: int, se_ratio: float) -> None:
        super().__init__()
        self.a = nn.Conv3d(dim_in, dim_inner, 1, bias=False)
        self.a_bn = BatchNorm(dim_inner)
        self.b = nn.Conv3d(dim_inner, dim_inner, 3, (1, stride, stride), 1, groups=dim_inner, bias=False)
        self.b_bn = BatchNorm(dim_inner)
        if se_ratio:
            self.se = SqueezeExcite(dim_inner, se_ratio)
        self.c = nn.Conv3d(dim_inner, dim_out, 1, bias=False)
        self.c_bn = BatchNorm(dim_out, zero_gain=True)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        x = convolve(self.a, self.a_bn, x, relu=True)
        x = convolve(self.b, self.b_bn, x)
        if hasattr(self, "se"):
            x = self.se(x)
        return convolve(self.c, self.c_bn, F.silu(x), relu=True, add=shortcut)


class X3DBlock(ResidualBlock):
    """A residual block around an ``X3DBranch``."""

    def __init__(self, dim_in: int, dim_inner: int, dim_out: int, stride: int, se_ratio: float) -> None:
        super().__init__(dim_in, dim_out, stride)
        self.branch2 = X3DBranch(dim_in, dim_inner, dim_out, stride, se_ratio)


class X3D(nn.Module):
    """Stem and four stages, each of which halves height and width: a total stride of 32."""

    def __init__(self, spec: X3DSpec) -> None:
        super().__init__()
        dim_in = round_width(spec.stem_dim, spec.width_factor)
        self.s1 = Stage({"stem": X3DStem(dim_in, spec.stem_kernel)})
        base = spec.stem_dim
        for s in range(4):
            dim_out = round_width(base, spec.width_factor)
            dim_inner = int(spec.bottleneck_factor * dim_out)
            blocks: dict[str, nn.Module] = {}
            for i in range(math.ceil(spec.depth_factor * spec.base_blocks[s])):
                se_ratio = 0.0 if i % 2 else spec.se_ratio  # in every second block
                blocks[f"res{i}"] = X3DBlock(dim_out if i else dim_in, dim_inner, dim_out, 1 if i else 2, se_ratio)
            self.add_module(f"s{s + 2}", Stage(blocks))
            dim_in, base = dim_out, round_width(base, 2.0)
        self.out_dims = [dim_in]

    def forward(self, clip: Tensor, states: list[Tensor] | None = None) -> list[Tensor]:
        x = [clip]
        for stage in self.children():
            x = stage(x)
            if states is not None:
                states.extend(x)
        return x
