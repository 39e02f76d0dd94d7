"""The region head: what happens at a person's box, over all frames, to one row of logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import extras


class RoIHead(nn.Module):
    """Mean over time, RoIAlign, spatial max, pathways side by side, dropout, one linear layer.

    Regions are pooled in float32 whatever the features are: rounding box corners to half precision moves them by
    up to an eighth of a pixel.
    """

    def __init__(self, dims: Sequence[int], num_labels: int, stride: int, size: int, dropout: float) -> None:
        super().__init__()
        self.stride, self.size, self.dropout_rate = stride, size, dropout
        self.projection = nn.Linear(sum(dims), num_labels)

    def forward(self, features: Sequence[Tensor], regions: Tensor) -> Tensor:
        pooled = torch.cat([self._pool(feature, regions) for feature in features], 1)
        pooled = F.dropout(pooled.to(self.projection.weight.dtype), self.dropout_rate, self.training)
        return self.projection(pooled)

    def _pool(self, feature: Tensor, regions: Tensor) -> Tensor:
        roi_align = extras.require("torchvision.ops", "pooling regions of people").roi_align
        still = feature.mean(2, dtype=torch.promote_types(feature.dtype, torch.float32))
        # sampling_ratio 0: as many samples as the region has cells
        regions = regions.to(still.dtype)
        cells = roi_align(still, regions, self.size, 1.0 / self.stride, sampling_ratio=0, aligned=True)
        return F.max_pool2d(cells, self.size).flatten(1)
