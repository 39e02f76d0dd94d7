"""Parameters and multiply-adds of a model, counted without computing anything."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from .config import MicroG4MHarConfig
from .modeling import MicroG4MHarForVideoClassification


def count(config: MicroG4MHarConfig, size: int | None = None) -> tuple[int, float]:
    """Parameters, and billions of multiply-adds for one clip of one person at the training size (square).

    Convolutions, linear layers and attention count; norms, activations and pooling do not. One multiply-add is
    counted once, as in the papers.

    >>> from microg4m_hf.models import config_of
    >>> parameters, gflops = count(config_of("x3d_s"))
    >>> parameters, round(gflops, 2)
    (2015828, 1.93)
    """
    with torch.device("meta"):
        model = MicroG4MHarForVideoClassification(config).eval()
        side = size or config.train_size
        clip = torch.zeros(1, 3, config.num_frames, side, side)
        region = torch.zeros(1, 5)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.head(model.backbone(clip).feature_maps, region)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 2e9
