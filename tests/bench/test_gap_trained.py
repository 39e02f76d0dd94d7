"""The probe on networks that were really trained: upright only, and turned at random."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from microg4m_hf.bench.orientation import TURNS, Turn, TurnedWindows, orientation_probe
from microg4m_hf.data.sample.write import write_clip
from microg4m_hf.taxonomy import label_of
from microg4m_hf.training.dataset import KeyFrame, collate
from microg4m_hf.training.recipe import Data
from microg4m_hf.training.transforms import render_batch

_SIDE = 64


def _clips(folder: Path, count: int, seed: int) -> list[KeyFrame]:
    """Persons of two actions. Which half is bright tells them apart at a glance, a tint only on a closer look."""
    random = np.random.RandomState(seed)
    items = []
    for number in range(count):
        kind = number % 2
        frame = np.full((_SIDE, _SIDE, 3), random.randint(80, 120), np.float64)
        top, left = random.randint(4, 12, 2)
        middle, bottom, right = top + 22, top + 44, left + 44
        bright, dark = frame[top:middle, left:right], frame[middle:bottom, left:right]
        for part, level in ((bright, 190), (dark, 50)) if kind == 0 else ((bright, 50), (dark, 190)):
            part[:] = level
        frame[top:bottom, left:right, 0 if kind == 0 else 2] += 25
        frame += random.randint(-6, 6, frame.shape)
        name = f"film{number // 4}_{number:03d}"
        write_clip(folder / f"{name}.mp4", [frame.clip(0, 255).astype(np.uint8)] * 4, fps=30)
        labels = np.zeros((1, 50), np.uint8)
        labels[0, (label_of(12), label_of(14))[kind]] = 1
        box = np.array([[left, top, right, bottom]], np.float32) / _SIDE
        items.append(KeyFrame(str(folder / f"{name}.mp4"), name, 2, box, labels, np.array([1])))
    return items


class _Small(torch.nn.Module):
    """What is in a person's box, eight by eight pixels, and one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3 * 8 * 8, 50)
        self.config = SimpleNamespace(image_mean=[0.45] * 3, image_std=[0.225] * 3)

    def forward(self, pixel_values: torch.Tensor, boxes: list[torch.Tensor]) -> SimpleNamespace:
        return SimpleNamespace(logits=self.layer(self.see(pixel_values, boxes)))

    def see(self, pixel_values: torch.Tensor, boxes: list[torch.Tensor]) -> torch.Tensor:
        seen = []
        for clip, persons in zip(pixel_values, boxes, strict=True):
            height, width = clip.shape[2:]
            for x1, y1, x2, y2 in persons.tolist():
                inside = clip[:, :, round(y1 * height) : round(y2 * height), round(x1 * width) : round(x2 * width)]
                seen.append(torch.nn.functional.adaptive_avg_pool2d(inside.mean(dim=1), 8).flatten())
        return torch.stack(seen)


def _trained(items: list[KeyFrame], data: Data, turns: tuple[Turn, ...], steps: int = 150) -> torch.nn.Module:
    """A network that saw the clips under these turns only."""
    torch.manual_seed(0)
    model = _Small()
    seen: list[Any] = []
    for turn in turns:
        windows = TurnedWindows(items, data, turn)
        seen.append(collate([windows[index] for index in range(len(items))]))
    clips = torch.cat([render_batch(batch["windows"], batch["geometries"], model.config) for batch in seen])
    boxes = [persons for batch in seen for persons in batch["boxes"]]
    labels = torch.cat([batch["labels"] for batch in seen])
    features = model.see(clips, boxes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model.layer(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[KeyFrame], list[KeyFrame], Data]:
    folder = tmp_path_factory.mktemp("clips")
    data = Data(num_frames=2, stride=1, crop=_SIDE, eval_short_side=_SIDE, workers=0)
    return _clips(folder / "train", 24, 0), _clips(folder / "test", 24, 1), data


def test_trained_upright_only(clips: tuple[list[KeyFrame], list[KeyFrame], Data]) -> None:
    train, test, data = clips
    found = orientation_probe(_trained(train, data, (Turn(0),)), test, data, resamples=200)
    assert found["turns"][0]["map"] > 0.95
    assert found["gap"]["difference"] > 0.2, found["turns"]
    assert found["gap"]["interval"][0] > 0
    assert found["gap"]["p"] < 0.05


def test_trained_under_all_turns(clips: tuple[list[KeyFrame], list[KeyFrame], Data]) -> None:
    train, test, data = clips
    found = orientation_probe(_trained(train, data, TURNS[:4]), test, data, resamples=200)
    assert found["turns"][0]["map"] > 0.95
    assert abs(found["gap"]["difference"]) < 0.05, found["turns"]
    assert not any(row.get("real") for row in found["turns"])
