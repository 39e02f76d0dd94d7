"""A tiny network of every family overfits eight clips within seconds."""

from __future__ import annotations

import pytest
import torch

from microg4m_hf import models
from microg4m_hf.models.registry import TINY

CLASSES = 4


def average_precision(scores: torch.Tensor, labels: torch.Tensor) -> float:
    ranked = labels[scores.argsort(descending=True)]
    precision = ranked.cumsum(0) / torch.arange(1, len(ranked) + 1)
    return float((precision * ranked).sum() / ranked.sum())


def overfit(model: torch.nn.Module, size: int, steps: int = 80) -> tuple[float, int]:
    """Train on eight clips; return the mean average precision on them and the number of steps."""
    torch.manual_seed(0)
    clips = torch.randn(8, 3, model.config.num_frames, size, size) * 0.5
    boxes = [torch.tensor([[0.0, 0.0, 0.5, 0.9], [0.5, 0.1, 1.0, 1.0]])] * 8
    labels = (torch.rand(16, CLASSES) < 0.4).float()
    labels[0] = 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    score = 0.0
    for step in range(1, steps + 1):
        model.train()
        model(pixel_values=clips, boxes=boxes, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0:
            model.eval()
            with torch.no_grad():
                logits = model(pixel_values=clips, boxes=boxes).logits
            score = sum(average_precision(logits[:, c], labels[:, c]) for c in range(CLASSES)) / CLASSES
            if score == 1.0:
                return score, step
    return score, steps


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_network_overfits_eight_clips(name: str) -> None:
    torch.manual_seed(1)
    score, steps = overfit(models.create(name, num_labels=CLASSES, dropout=0.0), TINY[name].train_size)
    assert score == 1.0, f"mAP {score:.3f} after {steps} steps"
