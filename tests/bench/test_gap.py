"""``microg4m gap``: planted gaps are found, and none where none was planted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from microg4m_hf.bench.gap import leak_gap, transfer_gap
from microg4m_hf.bench.orientation import Turn, orientation_probe, turn_boxes, turn_frames
from microg4m_hf.cli.main import main
from microg4m_hf.data.sample.write import write_clip
from microg4m_hf.errors import PredictionError
from microg4m_hf.models import create
from microg4m_hf.taxonomy import ACTION_IDS, label_of
from microg4m_hf.training.dataset import KeyFrame
from microg4m_hf.training.recipe import Data
from tests.support.har_split import draw
from tests.support.report_runs import har_run, labelled_items

ALL = [Turn(degrees, mirrored) for degrees in (0, 90, 180, 270) for mirrored in (False, True)]


@pytest.mark.parametrize("turn", ALL, ids=lambda turn: turn.name)
def test_boxes_go_where_the_pixels_go(turn: Turn) -> None:
    """What lies in the box before lies in it after, whatever the turn, and the rest outside."""
    frames = np.zeros((2, 20, 40, 3), np.uint8)
    box = np.array([[0.1, 0.2, 0.35, 0.9]])
    frames[:, 4:18, 4:14] = 255
    shown = turn_frames(frames, turn)
    height, width = shown.shape[1:3]
    x1, y1, x2, y2 = (turn_boxes(box, turn)[0] * [width, height, width, height]).round().astype(int)
    assert shown[:, y1:y2, x1:x2].min() == 255
    assert shown.sum() == shown[:, y1:y2, x1:x2].sum()


def test_turns_add_up() -> None:
    frames = np.random.RandomState(0).randint(0, 255, (1, 6, 9, 3), dtype=np.uint8)
    once = turn_frames(turn_frames(frames, Turn(90)), Turn(90))
    assert (once == turn_frames(frames, Turn(180))).all()
    assert (turn_frames(turn_frames(frames, Turn(270)), Turn(90)) == frames).all()
    box = np.array([[0.1, 0.2, 0.3, 0.7]])
    assert turn_boxes(turn_boxes(box, Turn(90)), Turn(270)) == pytest.approx(box)


def _clips(folder: Path) -> tuple[list[KeyFrame], Data]:
    """Persons of two actions: one bright above and red, one bright below and blue."""
    items = []
    for number in range(16):
        kind = number % 2
        frame = np.full((64, 96, 3), 90, np.uint8)
        red, blue = ((200, 60, 60), (60, 60, 200))[kind], ((90, 0, 0), (0, 0, 90))[kind]
        frame[16:32, 30:62] = red if kind == 0 else blue
        frame[32:48, 30:62] = blue if kind == 0 else red
        name = f"film{number // 4}_{number:03d}"
        path = folder / f"{name}.mp4"
        write_clip(path, [frame] * 6, fps=30)
        labels = np.zeros((1, 50), np.uint8)
        labels[0, (label_of(12), label_of(14))[kind]] = 1
        box = np.array([[30 / 96, 16 / 64, 62 / 96, 48 / 64]], np.float32)
        items.append(KeyFrame(str(path), name, 3, box, labels, np.array([1])))
    return items, Data(num_frames=2, stride=2, crop=64, eval_short_side=64, workers=0)


class _Looker(torch.nn.Module):
    """Says which of two actions a person does, by what it looks at in the person's box."""

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


def test_the_probe_finds_a_planted_prior_and_no_other(tmp_path: Path) -> None:
    items, data = _clips(tmp_path)
    upright = orientation_probe(_Looker(_upper_minus_lower), items, data, resamples=200)
    free = orientation_probe(_Looker(_red_minus_blue), items, data, resamples=200)
    assert upright["turns"][0]["map"] == free["turns"][0]["map"] == 1.0
    by_turn = {row["turn"]: row for row in upright["turns"]}
    assert by_turn["0°, mirrored"]["map"] == 1.0  # left and right are no prior of this model
    assert by_turn["180°"]["map"] < 0.6
    assert by_turn["180°"]["real"]
    assert upright["gap"]["difference"] > 0.2
    assert upright["gap"]["interval"][0] > 0
    assert all(entry["difference"] > 0.2 for entry in upright["classes"])
    assert free["gap"]["difference"] == 0.0
    assert not any(row.get("real") for row in free["turns"])


def test_the_orientation_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create("tiny_slow").save_pretrained(tmp_path / "model")
    out = tmp_path / "gap"
    words = ["gap", "orientation", str(tmp_path / "model"), "--source", "sample", "--resamples", "20"]
    assert main([*words, "--out", str(out)]) == 0
    found = json.loads((out / "report.json").read_text())
    assert [row["turn"] for row in found["turns"]] == ["0°", "90°", "180°", "270°", "0°, mirrored"]
    assert found["left_out_clips"] == 0
    assert "gap " in capsys.readouterr().out
    assert "Orientation gap" in (out / "report.md").read_text()
    assert (out / "figures" / "orientation-actions.svg").is_file()


def _csv(path: Path, rows: list[tuple]) -> Path:
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def _padded(rows: list[tuple]) -> list[tuple]:
    """Every box with a score for all fifty actions."""
    boxes = dict.fromkeys(row[:6] for row in rows)
    given = {row[:7]: row[7] for row in rows}
    return [(*box, action, given.get((*box, action), -9.0)) for box in boxes for action in ACTION_IDS]


def test_transfer_is_matched_by_action(tmp_path: Path) -> None:
    """A model that is good on one side and random on the other; actions of one side alone do not count."""
    truth, found = draw(seed=3, clips=60, sources=12, ids=(1, 12, 14, 28, 80))
    labels = {row[:7] for row in truth}
    good = [(*row[:7], 4.0 if row[:7] in labels else -4.0) for row in found]
    other, noise = draw(seed=4, clips=60, sources=12, ids=(1, 12, 28, 79, 80))
    random = np.random.RandomState(0)
    noise = [(*row[:7], float(random.randn())) for row in noise]
    result = transfer_gap(
        _csv(tmp_path / "earth.csv", _padded(good)),
        _csv(tmp_path / "earth_truth.csv", truth),
        _csv(tmp_path / "space.csv", _padded(noise)),
        _csv(tmp_path / "space_truth.csv", other),
        resamples=200,
    )
    assert {entry["action_id"] for entry in result["classes"]} == {1, 12, 80}  # 28 means another action in AVA
    assert result["matched"]["first"] == 1.0
    assert result["matched"]["difference"] > 0.2
    assert result["matched"]["interval"][0] > 0.1
    for entry in result["classes"]:
        low, high = entry["interval"]
        assert low <= entry["difference"] <= high
        assert entry["chance"][0] == pytest.approx(entry["labels"][0] / len(dict.fromkeys(row[:6] for row in good)))


def test_the_transfer_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = draw(seed=5, clips=20, sources=5)
    files = [_csv(tmp_path / "found.csv", _padded(found)), _csv(tmp_path / "truth.csv", truth)]
    words = ["--earth", files[0], "--earth-references", files[1], "--space", files[0], "--references", files[1]]
    words += ["--resamples", "20", "--out", tmp_path / "out"]
    assert main(["gap", "transfer", *map(str, words)]) == 0
    assert "gap +0.00" in capsys.readouterr().out
    assert "| action | Earth | space |" in (tmp_path / "out" / "report.md").read_text()


def test_leak_compares_runs_of_one_recipe_only(tmp_path: Path) -> None:
    items = labelled_items()
    official = har_run(tmp_path / "official", items, noise=0.5)
    disjoint_items = labelled_items(scheme="source_disjoint")
    disjoint = har_run(tmp_path / "disjoint", disjoint_items, noise=9.0, scheme="source_disjoint")
    result = leak_gap(official, disjoint, resamples=100)
    assert result["names"] == ["official", "source_disjoint"]
    assert result["matched"]["difference"] > 0.1
    assert result["map"][0] > result["map"][1]
    with pytest.raises(PredictionError, match="made with the scheme official"):
        leak_gap(official, official)
    config = yaml.safe_load((disjoint / "config.yaml").read_text())
    config["data"]["stride"] = 2
    (disjoint / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(PredictionError, match=r"not have the same recipe.*data\.stride"):
        leak_gap(official, disjoint)
