"""Pooling attention of MViT: queries, keys and values are tokens of a grid and are pooled over it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Grid = tuple[int, int, int]  # time, height, width


class PoolingAttention(nn.Module):
    """Multi-head attention over a token grid (first token: class) with pooled queries, keys and values."""

    rel_pos_h: nn.Parameter
    rel_pos_w: nn.Parameter

    def __init__(
        self,
        dim: int,
        dim_out: int,
        num_heads: int,
        kernel: Grid,
        q_stride: Grid | None,
        kv_stride: Grid,
        residual_pooling: bool,
        table_grid: Grid | None,
    ) -> None:
        super().__init__()
        self.num_heads, self.residual_pooling = num_heads, residual_pooling
        self.scale = (dim_out // num_heads) ** -0.5
        head_dim = dim_out // num_heads
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)
        strides = {"q": q_stride, "k": kv_stride, "v": kv_stride}
        for name, stride in strides.items():
            if stride is not None:
                padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
                pool = nn.Conv3d(head_dim, head_dim, kernel, stride, padding, groups=head_dim, bias=False)
                self.add_module(f"pool_{name}", pool)
                self.add_module(f"norm_{name}", nn.LayerNorm(head_dim, eps=1e-6))
        self.relative = table_grid is not None
        if table_grid is not None:
            time, height, width = table_grid
            q_step, k_step = (q_stride or (1, 1, 1)), kv_stride
            for axis, size, step in (("h", height, 1), ("w", width, 2)):
                length = 2 * max(size // q_step[step], size // k_step[step]) - 1
                setattr(self, f"rel_pos_{axis}", nn.Parameter(torch.zeros(length, head_dim)))
            self.rel_pos_t = nn.Parameter(torch.zeros(2 * time - 1, head_dim))

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        batch, tokens, _ = x.shape
        query, key, value = self.qkv(x).view(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, q_grid = self._pool("q", query, grid)
        key, k_grid = self._pool("k", key, grid)
        value, _ = self._pool("v", value, grid)
        mask = self._relative_positions(query, q_grid, k_grid) if self.relative else None
        mixed = F.scaled_dot_product_attention(query, key, value, mask, scale=self.scale)
        if self.residual_pooling:  # the class token has no pooled query to add
            mixed = mixed + F.pad(query[:, :, 1:], (0, 0, 1, 0))
        return self.proj(mixed.transpose(1, 2).flatten(2)), q_grid

    def _pool(self, name: str, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        pool = self._modules.get(f"pool_{name}")
        if pool is None:
            return x, grid
        batch, heads, _, dim = x.shape
        volume = x[:, :, 1:].reshape(batch * heads, *grid, dim).permute(0, 4, 1, 2, 3)
        pooled = pool(volume)
        tokens = pooled.flatten(2).transpose(1, 2).reshape(batch, heads, -1, dim)
        joined = torch.cat([x[:, :, :1], tokens], 2)
        return self._modules[f"norm_{name}"](joined), tuple(pooled.shape[2:])  # type: ignore[misc]

    def _relative_positions(self, query: Tensor, q_grid: Grid, k_grid: Grid) -> Tensor:
        """What relative positions add to the attention: one term per axis, none for the class token."""
        batch, heads, _, dim = query.shape
        volume = query[:, :, 1:].reshape(batch, heads, *q_grid, dim)
        along_t = torch.einsum("bnthwc,tkc->bnthwk", volume, _table(self.rel_pos_t, q_grid[0], k_grid[0]))
        along_h = torch.einsum("bnthwc,hkc->bnthwk", volume, _table(self.rel_pos_h, q_grid[1], k_grid[1]))
        along_w = torch.einsum("bnthwc,wkc->bnthwk", volume, _table(self.rel_pos_w, q_grid[2], k_grid[2]))
        bias = along_h[..., None, :, None] + along_w[..., None, None, :] + along_t[..., :, None, None]
        flat = bias.reshape(batch, heads, math.prod(q_grid), math.prod(k_grid))
        return F.pad(flat, (1, 0, 1, 0))


def _table(table: Tensor, q_size: int, k_size: int) -> Tensor:
    """The rows of a relative-position table for every pair of query and key positions on one axis."""
    length = 2 * max(q_size, k_size) - 1
    if table.shape[0] != length:
        table = F.interpolate(table.T[None], size=length, mode="linear")[0].T
    # The order of these operations decides, in single precision, how a fractional distance is truncated.
    q_ratio, k_ratio = max(k_size / q_size, 1.0), max(q_size / k_size, 1.0)
    q = torch.arange(q_size, device=table.device)[:, None] * q_ratio
    k = torch.arange(k_size, device=table.device)[None, :] * k_ratio
    distance = q - k
    distance += (k_size - 1) * k_ratio
    return table[distance.long()]
