"""MViT (Fan et al. 2021) and MViTv2 (Li et al. 2022): a transformer whose grid shrinks as its channels grow."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from .layers import DropPath
from .mvit_attention import Grid, PoolingAttention
from .specs import MViTSpec


class PatchEmbed(nn.Module):
    """Clip to tokens: one strided convolution."""

    def __init__(self, spec: MViTSpec) -> None:
        super().__init__()
        time, height, width = spec.patch_kernel
        padding = (time // 2, height // 2, width // 2)
        self.proj = nn.Conv3d(3, spec.embed_dim, spec.patch_kernel, spec.patch_stride, padding)

    def forward(self, clip: Tensor) -> Tensor:
        return self.proj(clip)


class Mlp(nn.Module):
    def __init__(self, dim: int, dim_hidden: int, dim_out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, dim_hidden)
        self.fc2 = nn.Linear(dim_hidden, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(GradientCheckpointingLayer):
    """Attention and MLP with residuals; ``proj`` widens the shortcut where the width changes."""

    def __init__(
        self,
        spec: MViTSpec,
        dim: int,
        dim_out: int,
        num_heads: int,
        q_stride: Grid | None,
        kv_stride: Grid,
        table_grid: Grid | None,
        drop_path: float,
    ) -> None:
        super().__init__()
        attention_dim = dim_out if spec.widen_in_attention else dim
        self.widen_in_attention = spec.widen_in_attention
        self.skip_stride = q_stride if q_stride is not None and max(q_stride) > 1 else None
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = PoolingAttention(
            dim, attention_dim, num_heads, spec.pool_kernel, q_stride, kv_stride, spec.residual_pooling, table_grid
        )
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(attention_dim, eps=1e-6)
        self.mlp = Mlp(attention_dim, int(attention_dim * spec.mlp_ratio), dim_out)
        if dim != dim_out:
            self.proj = nn.Linear(dim, dim_out)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        normed = self.norm1(x)
        mixed, new_grid = self.attn(normed, grid)
        if self.widen_in_attention and hasattr(self, "proj"):
            x = self.proj(normed)
        x = self._shrink(x, grid) + self.drop_path(mixed)
        normed = self.norm2(x)
        widened = self.drop_path(self.mlp(normed))
        if not self.widen_in_attention and hasattr(self, "proj"):
            x = self.proj(normed)
        return x + widened, new_grid

    def _shrink(self, x: Tensor, grid: Grid) -> Tensor:
        """The shortcut follows a strided query by max-pooling; the class token passes."""
        if self.skip_stride is None:
            return x
        kernel = [s + 1 if s > 1 else s for s in self.skip_stride]
        volume = x[:, 1:].transpose(1, 2).unflatten(2, grid)
        pooled = F.max_pool3d(volume, kernel, self.skip_stride, [k // 2 for k in kernel])
        return torch.cat([x[:, :1], pooled.flatten(2).transpose(1, 2)], 1)


class MViT(nn.Module):
    """Patches, positions, blocks, norm; the class token is dropped and the rest is a grid again."""

    def __init__(self, spec: MViTSpec, num_frames: int) -> None:
        super().__init__()
        dim, heads = spec.embed_dim, spec.num_heads
        side = spec.input_size // spec.patch_stride[1]
        grid: Grid = (num_frames // spec.patch_stride[0], side, spec.input_size // spec.patch_stride[2])
        self.table_grid = grid
        self.patch_embed = PatchEmbed(spec)
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
                kv_stride = _divided(kv_stride, q_stride)
            drop = spec.drop_path * i / max(spec.depth - 1, 1)
            table_grid = grid if spec.relative_positions else None
            self.blocks.append(Block(spec, dim, dim_out, heads, q_stride, kv_stride, table_grid, drop))
            if q_stride is not None:
                grid = _divided(grid, q_stride)
            dim = dim_out
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.out_dims = [dim]
        self.stride = spec.patch_stride[1] * 2 ** sum(i < spec.depth for i in spec.double_at)

    def forward(self, clip: Tensor) -> list[Tensor]:
        patches = self.patch_embed(clip)
        grid: Grid = tuple(patches.shape[2:])
        x = torch.cat([self.cls_token.expand(len(clip), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        if self.absolute_positions:
            x = x + self._positions(grid)
        for block in self.blocks:
            x, grid = block(x, grid)
        x = self.norm(x)
        return [x[:, 1:].transpose(1, 2).unflatten(2, grid)]

    def _positions(self, grid: Grid) -> Tensor:
        """One position per token: space plus time, resized to the grid of this clip."""
        time, height, width = self.table_grid
        table = self.pos_embed_spatial.view(1, 1, height * width, -1) + self.pos_embed_temporal.view(1, time, 1, -1)
        if grid != self.table_grid:
            volume = table.view(1, time, height, width, -1).permute(0, 4, 1, 2, 3)
            table = F.interpolate(volume, size=grid, mode="trilinear").permute(0, 2, 3, 4, 1)
        return torch.cat([self.pos_embed_class, table.reshape(1, grid[0] * grid[1] * grid[2], -1)], 1)


def _divided(grid: Grid, step: Grid) -> Grid:
    return max(grid[0] // step[0], 1), max(grid[1] // step[1], 1), max(grid[2] // step[2], 1)
