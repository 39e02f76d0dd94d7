"""SlowFast (Feichtenhofer et al. 2019): two pathways with lateral connections from fast to slow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import ModelError
from ..specs import SlowFastSpec
from .layers import BatchNorm, Stage, convolve
from .resnet import ResNetStem, stage_blocks

_SLOW_KERNELS = (1, 1, 3, 3)  # kernel length in time per stage; the fast pathway has 3 everywhere


class Fusion(nn.Module):
    """Concatenate the slow features with the fast ones, strided in time to the same number of frames."""

    def __init__(self, dim_fast: int, ratio: int, kernel: int, alpha: int) -> None:
        super().__init__()
        self.conv_f2s = nn.Conv3d(
            dim_fast, dim_fast * ratio, (kernel, 1, 1), (alpha, 1, 1), (kernel // 2, 0, 0), bias=False
        )
        self.bn = BatchNorm(dim_fast * ratio)

    def forward(self, clips: list[Tensor]) -> list[Tensor]:
        slow, fast = clips
        lateral = convolve(self.conv_f2s, self.bn, fast, relu=True)
        return [torch.cat([slow, lateral], 1), fast]


def slow_frames(num_frames: int, alpha: int) -> list[int]:
    """Return the frames of the slow pathway: evenly from first to last, truncated to whole numbers.

    >>> slow_frames(8, 4), slow_frames(4, 4), slow_frames(32, 4)
    ([0, 7], [0], [0, 4, 8, 13, 17, 22, 26, 31])
    """
    return torch.linspace(0, num_frames - 1, num_frames // alpha, device="cpu").long().tolist()


class SlowFast(nn.Module):
    """Takes the full clip; the slow pathway sees the ``slow_frames`` of it."""

    def __init__(self, spec: SlowFastSpec, num_frames: int) -> None:
        super().__init__()
        if num_frames < spec.alpha:
            raise ModelError(f"num_frames={num_frames} leaves none for the slow pathway; use at least {spec.alpha}")
        self.slow_frames = slow_frames(num_frames, spec.alpha)
        dim_slow, dim_fast = spec.width, spec.width // spec.beta_inv
        self.s1 = Stage({"stem": ResNetStem(dim_slow, kernel=1)}, {"stem": ResNetStem(dim_fast, kernel=5)})
        for s in range(4):
            self.add_module(f"s{s + 1}_fuse", Fusion(dim_fast, spec.fusion_ratio, spec.fusion_kernel, spec.alpha))
            inner, dim_fused = spec.width * 2**s, dim_slow + dim_fast * spec.fusion_ratio
            slow = stage_blocks(spec, s, dim_fused, inner, _SLOW_KERNELS[s : s + 1], spec.nonlocal_after[s])
            fast = stage_blocks(spec, s, dim_fast, inner // spec.beta_inv, (3,))
            self.add_module(f"s{s + 2}", Stage(slow, fast))
            dim_slow, dim_fast = 4 * inner, 4 * inner // spec.beta_inv
        self.out_dims = [dim_slow, dim_fast]

    def forward(self, clip: Tensor, states: list[Tensor] | None = None) -> list[Tensor]:
        slow = torch.stack([clip[:, :, frame] for frame in self.slow_frames], 2)
        x = [slow, clip]
        for module in self.children():  # stages and fusions in turn
            x = module(x)
            if states is not None and isinstance(module, Stage):
                states.extend(x)
        return x
