"""C2D, I3D and Slow: the ResNet that all of them are, and the bottleneck that SlowFast shares."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from ..specs import ResNetSpec
from .layers import BatchNorm, NonLocal, Stage


class Stem(nn.Module):
    """7x7 convolution (``kernel`` long in time), norm, max-pool: a quarter of the size."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, dim, (kernel, 7, 7), (1, 2, 2), (kernel // 2, 3, 3), bias=False)
        self.bn = BatchNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(F.relu(self.bn(self.conv(x)), inplace=True), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class BottleneckBranch(nn.Module):
    """Convolutions a (in time), b (in space) and c (back to full width)."""

    def __init__(self, dim_in: int, dim_inner: int, dim_out: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.a = nn.Conv3d(dim_in, dim_inner, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False)
        self.a_bn = BatchNorm(dim_inner)
        self.b = nn.Conv3d(
            dim_inner,
            dim_inner,
            (1, 3, 3),
            (1, stride, stride),
            (0, dilation, dilation),
            (1, dilation, dilation),
            bias=False,
        )
        self.b_bn = BatchNorm(dim_inner)
        self.c = nn.Conv3d(dim_inner, dim_out, 1, bias=False)
        self.c_bn = BatchNorm(dim_out, zero_gain=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        x = F.relu(self.b_bn(self.b(x)), inplace=True)
        return self.c_bn(self.c(x))


class Bottleneck(GradientCheckpointingLayer):
    """A residual block; the shortcut is a convolution where width or size change."""

    def __init__(self, dim_in: int, dim_inner: int, dim_out: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__()
        if dim_in != dim_out or stride != 1:
            self.branch1 = nn.Conv3d(dim_in, dim_out, 1, (1, stride, stride), bias=False)
            self.branch1_bn = BatchNorm(dim_out)
        self.branch2 = BottleneckBranch(dim_in, dim_inner, dim_out, kernel, stride, dilation)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.branch1_bn(self.branch1(x)) if hasattr(self, "branch1") else x
        return F.relu(shortcut + self.branch2(x), inplace=True)


def stage_blocks(
    dim_in: int,
    dim_inner: int,
    blocks: int,
    kernels: Sequence[int],
    stride: int,
    dilation: int,
    nonlocal_after: Sequence[int] = (),
    nonlocal_pool: tuple[int, int, int] = (1, 2, 2),
    nonlocal_kind: str = "softmax",
) -> dict[str, nn.Module]:
    """The named blocks of one stage of one pathway; only the first block changes size."""
    dim_out = 4 * dim_inner
    named: dict[str, nn.Module] = {}
    for i in range(blocks):
        first = i == 0
        named[f"res{i}"] = Bottleneck(
            dim_in if first else dim_out, dim_inner, dim_out, kernels[i], stride if first else 1, dilation
        )
        if i in nonlocal_after:
            named[f"nonlocal{i}"] = NonLocal(dim_out, nonlocal_pool, nonlocal_kind)
    return named


def temporal_kernels(pattern: Sequence[int], blocks: int, temporal_blocks: int) -> list[int]:
    """Kernel lengths in time of a stage: the pattern repeated over its first blocks, 1 after them.

    >>> temporal_kernels((3, 1), 4, 4), temporal_kernels((3,), 4, 2)
    ([3, 1, 3, 1], [3, 3, 1, 1])
    """
    return [pattern[i % len(pattern)] if i < temporal_blocks else 1 for i in range(blocks)]


class ResNet(nn.Module):
    """One pathway: stem, four stages, a max-pool in time after the first."""

    s2: Stage
    s3: Stage
    s4: Stage
    s5: Stage

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__()
        self.temporal_pool = spec.temporal_pool
        self.s1 = Stage({"stem": Stem(spec.width, spec.stem_kernel)})
        dim_in = spec.width
        for s in range(4):
            dim_inner = spec.width * 2**s
            kernels = temporal_kernels(spec.temporal_kernels[s], spec.stage_blocks[s], spec.temporal_blocks[s])
            blocks = stage_blocks(
                dim_in,
                dim_inner,
                spec.stage_blocks[s],
                kernels,
                spec.strides[s],
                spec.dilations[s],
                spec.nonlocal_after[s],
                spec.nonlocal_pool,
                spec.nonlocal_kind,
            )
            self.add_module(f"s{s + 2}", Stage(blocks))
            dim_in = 4 * dim_inner
        self.out_dims = [dim_in]
        self.stride = 4 * spec.strides[0] * spec.strides[1] * spec.strides[2] * spec.strides[3]

    def forward(self, clip: Tensor) -> list[Tensor]:
        x = self.s2(self.s1([clip]))
        if self.temporal_pool > 1:
            x = [F.max_pool3d(x[0], (self.temporal_pool, 1, 1))]
        return self.s5(self.s4(self.s3(x)))
