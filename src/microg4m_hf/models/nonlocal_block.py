"""Non-local attention over all positions of a clip (Wang et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError
from .layers import BatchNorm


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
