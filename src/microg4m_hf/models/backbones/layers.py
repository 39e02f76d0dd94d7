"""The few layers that all families share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ModelError


class BatchNorm(nn.BatchNorm3d):
    """Batch normalisation that counts a batch once.

    Gradient checkpointing runs a block a second time during the backward pass; torch's own layer would then
    move its running statistics twice.
    """

    def __init__(self, channels: int, zero_gain: bool = False) -> None:
        super().__init__(channels, eps=1e-5, momentum=0.1)
        self.zero_gain = zero_gain  # the last norm of a residual branch starts at zero: the block starts as identity

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
            # momentum 0 leaves the statistics as they are
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, 0.0, self.eps)
        return super().forward(x)


class DropPath(nn.Module):
    """Leaves out a residual branch for some clips of a batch while training.

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


class Stage(nn.Module):
    """The blocks of one stage: for every pathway its blocks in order, named ``pathway{p}_{name}``."""

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


# Non-local attention over all positions of a clip (Wang et al. 2018).


class NonLocal(nn.Module):
    """``x + norm(out(attention(theta(x), phi(pool(x)), g(pool(x)))))``, all four maps being 1x1x1 convolutions.

    ``softmax`` scales by the square root of the inner width; ``dot_product`` divides by the number of keys.
    """

    def __init__(self, dim: int, pool: tuple[int, int, int], kind: str) -> None:
        super().__init__()
        if kind not in {"softmax", "dot_product"}:
            raise ModelError(f"unknown non-local kind {kind!r}; it is 'softmax' or 'dot_product'")
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
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            # Linear attention: (QKᵀ)V = Q(KᵀV), and the small product comes first.
            mixed = query @ (key.transpose(1, 2) @ value / key.shape[1])
        grid = mixed.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])
        return x + self.bn(self.conv_out(grid))
