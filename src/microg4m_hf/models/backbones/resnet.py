"""The ResNet behind C2D, I3D and Slow, and the stages that SlowFast shares with it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ..specs import ResNetSpec, SlowFastSpec
from .layers import BatchNorm, NonLocal, ResidualBlock, Stage, convolve


class ResNetStem(nn.Module):
    """A 7x7 convolution (``kernel`` long in time), norm and max-pool; quarters height and width."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, dim, (kernel, 7, 7), (1, 2, 2), (kernel // 2, 3, 3), bias=False)
        self.bn = BatchNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(convolve(self.conv, self.bn, x, relu=True), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class BottleneckBranch(nn.Module):
    """Convolutions a (in time), b (in space) and c (projection back to full width)."""

    def __init__(self, dim_in: int, dim_inner: int, dim_out: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.a = nn.Conv3d(dim_in, dim_inner, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False)
        self.a_bn = BatchNorm(dim_inner)
        padding = (0, dilation, dilation)
        self.b = nn.Conv3d(
            dim_inner, dim_inner, (1, 3, 3), (1, stride, stride), padding, (1, dilation, dilation), bias=False
        )
        self.b_bn = BatchNorm(dim_inner)
        self.c = nn.Conv3d(dim_inner, dim_out, 1, bias=False)
        self.c_bn = BatchNorm(dim_out, zero_gain=True)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        x = convolve(self.a, self.a_bn, x, relu=True)
        x = convolve(self.b, self.b_bn, x, relu=True)
        return convolve(self.c, self.c_bn, x, relu=True, add=shortcut)


class Bottleneck(ResidualBlock):
    """A residual block around a ``BottleneckBranch``."""

    def __init__(self, dim_in: int, dim_inner: int, dim_out: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__(dim_in, dim_out, stride)
        self.branch2 = BottleneckBranch(dim_in, dim_inner, dim_out, kernel, stride, dilation)


def stage_blocks(
    spec: ResNetSpec | SlowFastSpec,
    stage: int,
    dim_in: int,
    dim_inner: int,
    pattern: Sequence[int],
    nonlocal_after: Sequence[int] = (),
) -> dict[str, nn.Module]:
    """Build the blocks of one stage of one pathway; only the first block changes the size.

    Args:
        spec: The network.
        stage: The number of the stage, from 0.
        dim_in: Input channels.
        dim_inner: Channels inside the bottlenecks; the output has four times as many.
        pattern: Kernel lengths in time, see ``temporal_kernels``.
        nonlocal_after: The blocks that a non-local block follows.

    Returns:
        The blocks by name, in order.
    """
    blocks: dict[str, nn.Module] = {}
    kernels = temporal_kernels(pattern, spec.stage_blocks[stage], spec.temporal_blocks[stage])
    for i, kernel in enumerate(kernels):
        dims = (dim_in if i == 0 else 4 * dim_inner, dim_inner, 4 * dim_inner)
        blocks[f"res{i}"] = Bottleneck(*dims, kernel, spec.strides[stage] if i == 0 else 1, spec.dilations[stage])
        if i in nonlocal_after:
            blocks[f"nonlocal{i}"] = NonLocal(4 * dim_inner, spec.nonlocal_pool, spec.nonlocal_kind)
    return blocks


def temporal_kernels(pattern: Sequence[int], blocks: int, temporal_blocks: int) -> list[int]:
    """Return the kernel lengths in time of a stage: the pattern repeated over its first blocks, then 1.

    >>> temporal_kernels((3, 1), 4, 4), temporal_kernels((3,), 4, 2)
    ([3, 1, 3, 1], [3, 3, 1, 1])
    """
    return [pattern[i % len(pattern)] if i < temporal_blocks else 1 for i in range(blocks)]


class ResNet(nn.Module):
    """One pathway: stem, four stages, and a max-pool in time after the first stage."""

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__()
        self.temporal_pool = spec.temporal_pool
        self.s1 = Stage({"stem": ResNetStem(spec.width, spec.stem_kernel)})
        dim_in = spec.width
        for s in range(4):
            dim_inner = spec.width * 2**s
            blocks = stage_blocks(spec, s, dim_in, dim_inner, spec.temporal_kernels[s], spec.nonlocal_after[s])
            self.add_module(f"s{s + 2}", Stage(blocks))
            dim_in = 4 * dim_inner
        self.out_dims = [dim_in]

    def forward(self, clip: Tensor, states: list[Tensor] | None = None) -> list[Tensor]:
        x = [clip]
        for name, stage in self.named_children():
            x = stage(x)
            if name == "s2" and self.temporal_pool > 1:
                x = [F.max_pool3d(x[0], (self.temporal_pool, 1, 1))]
            if states is not None:
                states.extend(x)
        return x
