"""MViT (Fan et al. 2021) and MViTv2 (Li et al. 2022): a transformer whose token grid shrinks as its channels grow."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from ..specs import MViTSpec
from .layers import DropPath

Grid = tuple[int, int, int]  # time, height, width


class PoolingAttention(nn.Module):
    """Multi-head attention over a token grid (first token: class) with pooled queries, keys and values."""

    rel_pos_h: nn.Parameter
    rel_pos_w: nn.Parameter

    def __init__(
        self, spec: MViTSpec, dim: int, dim_out: int, num_heads: int, q_stride: Grid | None, kv_stride: Grid, grid: Grid
    ) -> None:
        super().__init__()
        self.num_heads, self.residual_pooling = num_heads, spec.residual_pooling
        head_dim = dim_out // num_heads
        self.scale = head_dim**-0.5
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)
        kernel = spec.pool_kernel
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        for name, stride in (("q", q_stride), ("k", kv_stride), ("v", kv_stride)):
            if stride is not None:
                pool = nn.Conv3d(head_dim, head_dim, kernel, stride, padding, groups=head_dim, bias=False)
                self.add_module(f"pool_{name}", pool)
                self.add_module(f"norm_{name}", nn.LayerNorm(head_dim, eps=1e-6))
        self.relative = spec.relative_positions
        if self.relative:
            q_step = q_stride or (1, 1, 1)
            for axis, size, step in (("h", grid[1], 1), ("w", grid[2], 2)):
                length = 2 * max(size // q_step[step], size // kv_stride[step]) - 1
                setattr(self, f"rel_pos_{axis}", nn.Parameter(torch.zeros(length, head_dim)))
            self.rel_pos_t = nn.Parameter(torch.zeros(2 * grid[0] - 1, head_dim))

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
        """Attention with relative positions as additional dimensions of queries and keys.

        The bias of key j for query i is a dot product too: of the query's terms for every time, row and column with a
        code that is one at the time, row and column of j. So no bias of size queries x keys is built, and torch's fused
        kernels, which give no gradient for a mask, stay usable in training.
        """
        if not self.relative:
            return F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        terms = self._position_terms(query, q_grid, k_grid)
        codes = _position_codes(k_grid, key)
        spare = -(key.shape[-1] + codes.shape[-1]) % 8  # fused kernels need a multiple of eight
        query = torch.cat([query * self.scale, F.pad(terms, (0, spare, 1, 0))], -1)
        key = torch.cat([key, F.pad(codes, (0, spare, 1, 0)).expand(*key.shape[:2], -1, -1)], -1)
        width = value.shape[-1]
        value = F.pad(value, (0, key.shape[-1] - width))
        return F.scaled_dot_product_attention(query, key, value, scale=1.0)[..., :width]

    def _position_terms(self, query: Tensor, q_grid: Grid, k_grid: Grid) -> Tensor:
        """The bias of every time, row and column of the keys for every query but the class token."""
        volume = query[:, :, 1:].unflatten(2, q_grid)
        along_t = torch.einsum("bnthwc,tkc->bnthwk", volume, _relative_entries(self.rel_pos_t, q_grid[0], k_grid[0]))
        along_h = torch.einsum("bnthwc,hkc->bnthwk", volume, _relative_entries(self.rel_pos_h, q_grid[1], k_grid[1]))
        along_w = torch.einsum("bnthwc,wkc->bnthwk", volume, _relative_entries(self.rel_pos_w, q_grid[2], k_grid[2]))
        return torch.cat([along_t, along_h, along_w], -1).flatten(2, 4)


def _position_codes(grid: Grid, like: Tensor) -> Tensor:
    """One code per token of a grid, with ones at its time, its row and its column."""
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


def _relative_entries(table: Tensor, q_size: int, k_size: int) -> Tensor:
    """The entries of a relative-position table for every pair of query and key positions on one axis."""
    length = 2 * max(q_size, k_size) - 1
    if table.shape[0] != length:
        table = F.interpolate(table.T[None], size=length, mode="linear")[0].T
    # In single precision, the order of these operations decides how a fractional distance is truncated.
    q_ratio, k_ratio = max(k_size / q_size, 1.0), max(q_size / k_size, 1.0)
    q = torch.arange(q_size, device=table.device)[:, None] * q_ratio
    k = torch.arange(k_size, device=table.device)[None, :] * k_ratio
    distance = q - k
    distance += (k_size - 1) * k_ratio
    return table[distance.long()]


class MViTBlock(GradientCheckpointingLayer):
    """Attention and MLP with residual connections; ``proj`` widens the shortcut where the width changes."""

    def __init__(
        self,
        spec: MViTSpec,
        dim: int,
        dim_out: int,
        num_heads: int,
        q_stride: Grid | None,
        kv_stride: Grid,
        grid: Grid,
        drop_path: float,
    ) -> None:
        super().__init__()
        attention_dim = dim_out if spec.widen_in_attention else dim
        self.widen_in_attention = spec.widen_in_attention
        self.skip_stride = q_stride if q_stride is not None and max(q_stride) > 1 else None
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = PoolingAttention(spec, dim, attention_dim, num_heads, q_stride, kv_stride, grid)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(attention_dim, eps=1e-6)
        hidden = int(attention_dim * spec.mlp_ratio)
        fc1, fc2 = nn.Linear(attention_dim, hidden), nn.Linear(hidden, dim_out)
        self.mlp = nn.Sequential(OrderedDict(fc1=fc1, act=nn.GELU(), fc2=fc2))
        if dim != dim_out:
            self.proj = nn.Linear(dim, dim_out)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        normed = self.norm1(x)
        mixed, new_grid = self.attn(normed, grid)
        if self.widen_in_attention and hasattr(self, "proj"):
            x = self.proj(normed)
        x = self._pool_shortcut(x, grid) + self.drop_path(mixed)
        normed = self.norm2(x)
        widened = self.drop_path(self.mlp(normed))
        if not self.widen_in_attention and hasattr(self, "proj"):
            x = self.proj(normed)
        return x + widened, new_grid

    def _pool_shortcut(self, x: Tensor, grid: Grid) -> Tensor:
        """Max-pool the shortcut to the grid of a strided query; the class token stays."""
        if self.skip_stride is None:
            return x
        kernel = [s + 1 if s > 1 else s for s in self.skip_stride]
        volume = x[:, 1:].unflatten(1, grid).permute(0, 4, 1, 2, 3)  # strides that torch knows as channels-last
        pooled = F.max_pool3d(volume, kernel, self.skip_stride, [k // 2 for k in kernel])
        return torch.cat([x[:, :1], pooled.flatten(2).transpose(1, 2)], 1)


class MViT(nn.Module):
    """Patches, positions, blocks and norm; the output is the token grid without the class token."""

    def __init__(self, spec: MViTSpec, num_frames: int) -> None:
        super().__init__()
        dim, heads = spec.embed_dim, spec.num_heads
        side = spec.input_size // spec.patch_stride[1]
        grid: Grid = (num_frames // spec.patch_stride[0], side, spec.input_size // spec.patch_stride[2])
        self.table_grid = grid
        time, height, width = (size // 2 for size in spec.patch_kernel)
        proj = nn.Conv3d(3, dim, spec.patch_kernel, spec.patch_stride, (time, height, width))
        self.patch_embed = nn.Sequential(OrderedDict(proj=proj))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.absolute_positions = spec.absolute_positions
        if spec.absolute_positions:
            self.pos_embed_spatial = nn.Parameter(torch.zeros(1, grid[1] * grid[2], dim))
            self.pos_embed_temporal = nn.Parameter(torch.zeros(1, grid[0], dim))
            self.pos_embed_class = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList()
        kv_stride = spec.kv_stride
        for i in range(spec.depth):
            heads = heads * 2 if i in spec.double_at else heads
            widen = i if spec.widen_in_attention else i + 1  # v1 widens in the MLP of the block before
            dim_out = dim * 2 if widen in spec.double_at else dim
            q_stride: Grid | None = (1, 2, 2) if i in spec.double_at else (1, 1, 1) if spec.pool_every_query else None
            if q_stride is not None:
                kv_stride = _divide(kv_stride, q_stride)
            drop = spec.drop_path * i / max(spec.depth - 1, 1)
            self.blocks.append(MViTBlock(spec, dim, dim_out, heads, q_stride, kv_stride, grid, drop))
            if q_stride is not None:
                grid = _divide(grid, q_stride)
            dim = dim_out
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.out_dims = [dim]

    def forward(self, clip: Tensor, states: list[Tensor] | None = None) -> list[Tensor]:
        patches = self.patch_embed(clip)
        grid: Grid = tuple(patches.shape[2:])
        x = torch.cat([self.cls_token.expand(clip.shape[0], -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        if self.absolute_positions:
            x = x + self._positions(grid)
        if states is not None:
            states.append(x)
        for block in self.blocks:
            x, grid = block(x, grid)
            if states is not None:
                states.append(x)
        x = self.norm(x)
        return [x[:, 1:].transpose(1, 2).unflatten(2, grid)]

    def _positions(self, grid: Grid) -> Tensor:
        """The position embedding of every token: space plus time, resized to the grid of this clip."""
        time, height, width = self.table_grid
        table = self.pos_embed_spatial.view(1, 1, height * width, -1) + self.pos_embed_temporal.view(1, time, 1, -1)
        if grid != self.table_grid:
            volume = table.view(1, time, height, width, -1).permute(0, 4, 1, 2, 3)
            table = F.interpolate(volume, size=grid, mode="trilinear").permute(0, 2, 3, 4, 1)
        return torch.cat([self.pos_embed_class, table.reshape(1, grid[0] * grid[1] * grid[2], -1)], 1)


def _divide(grid: Grid, step: Grid) -> Grid:
    return max(grid[0] // step[0], 1), max(grid[1] // step[1], 1), max(grid[2] // step[2], 1)
