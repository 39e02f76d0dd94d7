"""Pooling attention of MViT: queries, keys and values are tokens of a grid and are pooled over it."""

from __future__ import annotations

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
        mixed = self._attend(query, key, value, q_grid, k_grid)
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

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, q_grid: Grid, k_grid: Grid) -> Tensor:
        """Attention; relative positions enter as further dimensions of queries and keys.

        What the position of key j adds for query i is a dot product as well: of the query's terms for every time,
        row and column with a key that is one where j lies. So no bias of the size queries x keys is ever built, and
        the fused kernels of torch, which learn nothing through a mask, stay usable in training.
        """
        if not self.relative:
            return F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        terms = self._position_terms(query, q_grid, k_grid)
        codes = _position_codes(k_grid, key)
        spare = -(key.shape[-1] + codes.shape[-1]) % 8  # fused kernels want a multiple of eight
        query = torch.cat([query * self.scale, F.pad(terms, (0, spare, 1, 0))], -1)
        key = torch.cat([key, F.pad(codes, (0, spare, 1, 0)).expand(*key.shape[:2], -1, -1)], -1)
        width = value.shape[-1]
        value = F.pad(value, (0, key.shape[-1] - width))
        return F.scaled_dot_product_attention(query, key, value, scale=1.0)[..., :width]

    def _position_terms(self, query: Tensor, q_grid: Grid, k_grid: Grid) -> Tensor:
        """What every time, row and column of the keys adds for every query but the class token."""
        volume = query[:, :, 1:].unflatten(2, q_grid)
        along_t = torch.einsum("bnthwc,tkc->bnthwk", volume, _table(self.rel_pos_t, q_grid[0], k_grid[0]))
        along_h = torch.einsum("bnthwc,hkc->bnthwk", volume, _table(self.rel_pos_h, q_grid[1], k_grid[1]))
        along_w = torch.einsum("bnthwc,wkc->bnthwk", volume, _table(self.rel_pos_w, q_grid[2], k_grid[2]))
        return torch.cat([along_t, along_h, along_w], -1).flatten(2, 4)


def _position_codes(grid: Grid, like: Tensor) -> Tensor:
    """For every token of a grid three ones: at its time, its row, its column."""
    time, height, width = (torch.eye(size, dtype=like.dtype, device=like.device) for size in grid)
    codes = torch.cat(
        [
            time[:, None, None].expand(-1, *grid[1:], -1),
            height[None, :, None].expand(grid[0], -1, grid[2], -1),
            width[None, None].expand(*grid[:2], -1, -1),
        ],
        -1,
    )
    return codes.flatten(0, 2)


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
