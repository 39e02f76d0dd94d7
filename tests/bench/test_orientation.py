"""The orientation probe: rotated boxes and clips, models with a known reliance, and networks that are trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from microg4m_hf.bench.gap_pages import orientation_document
from microg4m_hf.bench.orientation import TurnedWindows, orientation_probe
from microg4m_hf.bench.orientation_persons import person_quarters
from microg4m_hf.cli.main import main
from microg4m_hf.data import open_clip
from microg4m_hf.data.sample.write import write_clip
from microg4m_hf.data.turns import TURNS, Turn, turn_boxes, turn_frames
from microg4m_hf.errors import RecipeError
from microg4m_hf.models import create
from microg4m_hf.taxonomy import label_of
from microg4m_hf.training.loading.batches import render_batch
from microg4m_hf.training.loading.dataset import KeyFrame, collate
from microg4m_hf.training.recipe import Data

_SIDE = 64
ALL = [Turn(degrees, mirrored) for degrees in (0, 90, 180, 270) for mirrored in (False, True)]


@pytest.mark.parametrize("turn", ALL, ids=lambda turn: turn.name)
def test_boxes_turn_with_the_pixels(turn: Turn) -> None:
    """The pixels inside the box are the same before and after the turn."""
    frames = np.zeros((2, 20, 40, 3), np.uint8)
    box = np.array([[0.1, 0.2, 0.35, 0.9]])
    frames[:, 4:18, 4:14] = 255
    shown = turn_frames(frames, turn)
    height, width = shown.shape[1:3]
    x1, y1, x2, y2 = (turn_boxes(box, turn)[0] * [width, height, width, height]).round().astype(int)
    assert shown[:, y1:y2, x1:x2].min() == 255
    assert shown.sum() == shown[:, y1:y2, x1:x2].sum()


def test_two_quarter_turns_are_a_half_turn() -> None:
    frames = np.random.RandomState(0).randint(0, 255, (1, 6, 9, 3), dtype=np.uint8)
    once = turn_frames(turn_frames(frames, Turn(90)), Turn(90))
    assert (once == turn_frames(frames, Turn(180))).all()
    assert (turn_frames(turn_frames(frames, Turn(270)), Turn(90)) == frames).all()
    box = np.array([[0.1, 0.2, 0.3, 0.7]])
    assert turn_boxes(turn_boxes(box, Turn(90)), Turn(270)) == pytest.approx(box)


def _red_and_blue_clips(folder: Path) -> tuple[list[KeyFrame], Data]:
    """Return persons with two actions: the upper half is red for one, the lower half is blue for the other."""
    items = []
    for number in range(16):
        kind = number % 2
        frame = np.full((64, 96, 3), 90, np.uint8)
        red, blue = ((200, 60, 60), (60, 60, 200))[kind], ((90, 0, 0), (0, 0, 90))[kind]
        frame[16:32, 30:62] = red if kind == 0 else blue
        frame[32:48, 30:62] = blue if kind == 0 else red
        name = f"film{number // 2}_{number:03d}"
        path = folder / f"{name}.mp4"
        write_clip(path, [frame] * 6, fps=30)
        labels = np.zeros((1, 50), np.uint8)
        labels[0, (label_of(12), label_of(14))[kind]] = 1
        box = np.array([[30 / 96, 16 / 64, 62 / 96, 48 / 64]], np.float32)
        items.append(KeyFrame(str(path), name, 3, box, labels, np.array([1])))
    return items, Data(num_frames=2, stride=2, crop=64, eval_short_side=64, workers=0)


class _PixelModel(torch.nn.Module):
    """A model that tells two actions apart by one property of the pixels in the box."""

    def __init__(self, look: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.look = look
        self.config = SimpleNamespace(image_mean=[0.0] * 3, image_std=[1.0] * 3)

    def forward(self, pixel_values: torch.Tensor, boxes: list[torch.Tensor]) -> SimpleNamespace:
        found = []
        for clip, persons in zip(pixel_values, boxes, strict=True):
            height, width = clip.shape[2:]
            for x1, y1, x2, y2 in persons.tolist():
                inside = clip[:, :, int(y1 * height) : int(y2 * height), int(x1 * width) : int(x2 * width)]
                logits = torch.full((50,), -9.0)
                logits[label_of(12)] = self.look(inside)
                logits[label_of(14)] = -self.look(inside)
                found.append(logits)
        return SimpleNamespace(logits=torch.stack(found))


def _upper_minus_lower(inside: torch.Tensor) -> torch.Tensor:
    middle = inside.shape[2] // 2
    return inside[:, :, :middle].mean() - inside[:, :, middle:].mean()


def _red_minus_blue(inside: torch.Tensor) -> torch.Tensor:
    return inside[0].mean() - inside[2].mean()


def test_probe_finds_a_known_reliance_and_no_other(tmp_path: Path) -> None:
    items, data = _red_and_blue_clips(tmp_path)
    upright = orientation_probe(_PixelModel(_upper_minus_lower), items, data, resamples=200)
    free = orientation_probe(_PixelModel(_red_minus_blue), items, data, resamples=200)
    assert upright["turns"][0]["map"] == free["turns"][0]["map"] == 1.0
    by_turn = {row["turn"]: row for row in upright["turns"]}
    assert by_turn["0°, mirrored"]["map"] == 1.0  # this model does not rely on left and right
    assert by_turn["180°"]["map"] < 0.6
    assert by_turn["180°"]["real"]
    assert upright["gap"]["difference"] > 0.2
    assert upright["gap"]["interval"][0] > 0
    assert all(entry["difference"] > 0.2 for entry in upright["classes"])
    assert free["gap"]["difference"] == 0.0
    assert not any(row.get("real") for row in free["turns"])


def test_turns_at_test_time_close_the_gap(tmp_path: Path) -> None:
    """All quarter turns of a rotated clip are those of the clip, so their mean does not depend on the rotation."""
    items, data = _red_and_blue_clips(tmp_path)
    model = _PixelModel(lambda inside: _red_minus_blue(inside) + 0.1 * _upper_minus_lower(inside))
    found = orientation_probe(model, items, replace(data, test_turns=4))
    assert found["asked"] == {"turns": ["0°", "90°", "180°", "270°"], "pooling": "mean"}
    assert found["turns"][0]["map"] == 1.0
    assert (found["gap"]["difference"], found["gap"]["interval"]) == (0.0, [0.0, 0.0])
    with pytest.raises(RecipeError, match="give --turn-pooling mean, max or lme"):
        orientation_probe(model, items, replace(data, test_turns=4, test_pooling="auto"))


def test_persons_are_scored_by_how_they_are_turned_and_shown(tmp_path: Path) -> None:
    """Half of the persons are upside down: only those upright are recognized, and all are where they are shown so."""
    items, data = _red_and_blue_clips(tmp_path)
    angles = {}
    for place, item in enumerate(items):
        is_turned = place % 4 >= 2
        angles[item.video_id, item.frame, 1] = 190.0 if is_turned else -10.0 % 360
        if is_turned:  # what is red above becomes blue below
            with open_clip(item.video) as clip:
                frames = turn_frames(clip.frames(range(len(clip))), Turn(180))
            write_clip(Path(item.video), list(frames), fps=30)
            items[place] = replace(item, boxes=turn_boxes(item.boxes, Turn(180)).astype(np.float32))
    found = orientation_probe(_PixelModel(_upper_minus_lower), items, data, angles=angles)
    up, down = found["persons"]["groups"]
    assert [(one["orientation"], one["persons"]) for one in (up, down)] == [("head up", 8), ("head down", 8)]
    assert (up["map"]["0°"], down["map"]["180°"]) == (1.0, 1.0)
    assert max(up["map"]["180°"], down["map"]["0°"]) < 0.6
    assert up["difference"] > 0.2 > 0 > down["difference"]
    shown = found["persons"]["shown"]
    assert [row["shown"] for row in shown] == ["head up", "head to the right", "head down", "head to the left"]
    assert shown[0]["map"] == 1.0 and shown[2]["map"] < 0.6 and shown[2]["real"]
    assert found["turns"][0]["map"] < 0.9  # which the turns of the image alone do not explain
    assert found["gap"]["interval"][1] > 0 and found["gap"]["interval"][0] < 0.05
    document = orientation_document(found)
    assert [section.title for section in document.sections] == ["Turns", "By action", "By person"]
    del angles[items[0].video_id, items[0].frame, 1]
    assert [one.tolist() for one in person_quarters(items, angles)[:4]] == [[-1], [0], [2], [2]]
    with pytest.raises(RecipeError, match="none of the 16 persons of the key frames is in the file of angles"):
        person_quarters(items, {("other_001", 3, 1): 0.0})


def test_orientations_are_estimated_from_boxes_in_pixels(tmp_path: Path) -> None:
    items, _ = _red_and_blue_clips(tmp_path)
    wide = replace(items[0], boxes=np.array([[0.0, 0.0, 0.6, 0.8], [0.0, 0.0, 0.6, 0.95]], np.float32))
    gone = replace(items[1], video=str(tmp_path / "gone.mp4"))
    assert [one.tolist() for one in person_quarters([wide, gone])] == [[1, 0], [-1]]  # frames are 96 by 64


def test_orientation_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create("tiny_slow").save_pretrained(tmp_path / "model")
    out = tmp_path / "gap"
    words = ["gap", "orientation", str(tmp_path / "model"), "--source", "sample", "--resamples", "20"]
    assert main([*words, "--turns", "2", "--out", str(out)]) == 0
    found = json.loads((out / "report.json").read_text())
    assert [row["turn"] for row in found["turns"]] == ["0°", "90°", "180°", "270°", "0°, mirrored"]
    assert found["left_out_clips"] == 0
    assert found["asked"]["turns"] == ["0°", "180°"]
    assert {one["orientation"] for one in found["persons"]["groups"]} == {"tall box", "wide box"}
    assert "gap " in capsys.readouterr().out
    page = (out / "report.md").read_text()
    assert "Orientation gap" in page and "estimated from their boxes; 0 are not known" in page
    assert "Each clip is asked under 0°, 180° from there, pooled by mean." in page
    (tmp_path / "angles.csv").write_text("video_id,frame_id,person_id,angle_degrees\nnone_001,1,1,0\n")
    assert main([*words, "--angles", str(tmp_path / "angles.csv")]) == 2
    assert "persons of the key frames is in the file of angles" in capsys.readouterr().err
    assert (out / "figures" / "orientation-actions.svg").is_file()


def _clips(folder: Path, count: int, seed: int) -> list[KeyFrame]:
    """Return persons with two actions; the bright half is an easy cue, a tint a harder one."""
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
        name = f"film{number // 2}_{number:03d}"
        write_clip(folder / f"{name}.mp4", [frame.clip(0, 255).astype(np.uint8)] * 4, fps=30)
        labels = np.zeros((1, 50), np.uint8)
        labels[0, (label_of(12), label_of(14))[kind]] = 1
        box = np.array([[left, top, right, bottom]], np.float32) / _SIDE
        items.append(KeyFrame(str(folder / f"{name}.mp4"), name, 2, box, labels, np.array([1])))
    return items


class _Small(torch.nn.Module):
    """A linear layer on the pixels in the box, resized to eight by eight."""

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
    """Return a network that is trained on the clips under these turns."""
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


def test_network_trained_on_upright_clips_has_a_gap(clips: tuple[list[KeyFrame], list[KeyFrame], Data]) -> None:
    train, test, data = clips
    found = orientation_probe(_trained(train, data, (Turn(0),)), test, data, resamples=200)
    assert found["turns"][0]["map"] > 0.95
    assert found["gap"]["difference"] > 0.2, found["turns"]
    assert found["gap"]["interval"][0] > 0
    assert found["gap"]["p"] < 0.05


def test_network_trained_on_all_turns_has_no_gap(clips: tuple[list[KeyFrame], list[KeyFrame], Data]) -> None:
    train, test, data = clips
    found = orientation_probe(_trained(train, data, TURNS[:4]), test, data, resamples=200)
    assert found["turns"][0]["map"] > 0.95
    assert abs(found["gap"]["difference"]) < 0.05, found["turns"]
    assert not any(row.get("real") for row in found["turns"])
