"""Detections: four turns merged, detectors of transformers and of users, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.curate.angles import detected_angles
from microg4m_hf.curate.people.callables import checked_detections
from microg4m_hf.curate.people.detectors import load_detector
from microg4m_hf.curate.people.quarter_turns import detect_in_turns, find_in_turns, suppress, turn_back
from microg4m_hf.curate.protocols import PeopleSettings
from microg4m_hf.curate.reviews import Box
from microg4m_hf.errors import ModelError, RecipeError
from tests.support.drawn_films import find_red, walk


def find_upright(frames: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find red figures that are taller than wide: a detector that, as real ones, loses people who lie."""
    return [
        (boxes[keep], scores[keep])
        for boxes, scores in find_red(frames)
        for keep in [(boxes[:, 3] - boxes[:, 1]) > (boxes[:, 2] - boxes[:, 0])]
    ]


@pytest.mark.parametrize("turn", range(4))
def test_four_turns_find_a_person_at_every_turn(turn: int) -> None:
    frame = np.ascontiguousarray(np.rot90(walk(1)[0], turn))
    truth = find_red([frame])[0][0]
    four = detect_in_turns([frame], find_upright, PeopleSettings(turns=4))[0]
    assert four[0].tolist() == truth.tolist() and four[1].tolist() == [0.9]
    one = detect_in_turns([frame], find_upright, PeopleSettings(turns=1))[0]
    assert len(one[0]) == (1 if turn % 2 == 0 else 0)


def find_heads_up(frames: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find red figures, and be surer of those whose upper half, the head, is greener."""
    found = []
    for frame, (boxes, _) in zip(frames, find_red(frames), strict=True):
        x1, y1, x2, y2 = boxes[0].astype(int)
        green, middle = frame[..., 1], (y1 + y2) // 2
        is_up = green[y1:middle, x1:x2].mean() > green[middle:y2, x1:x2].mean() + 20
        found.append((boxes, np.array([0.9 if is_up else 0.4])))
    return found


@pytest.mark.parametrize("turn", range(4))
def test_the_surest_turn_says_where_a_head_points(turn: int) -> None:
    frames = walk(20)
    for number, frame in enumerate(frames):
        left = 4 + number // 2
        frame[10:36, left : left + 20, 1] = 80
    turned = [np.ascontiguousarray(np.rot90(frame, -turn)) for frame in frames]  # clockwise
    found = find_in_turns(turned, find_heads_up, PeopleSettings(turns=4))
    rows = [{"frame_id": place + 1, "boxes": [[*one.boxes[0], 0.9]], "turns": (100 * one.by_turn).round().tolist()}
            for place, one in enumerate(found)]  # fmt: skip
    rows[3]["turns"] = [[0, 0, 0, 0]]  # one frame without an answer does not matter
    boxes = [Box(place + 1, *one.boxes[0].tolist()) for place, one in enumerate(found)]
    angles = detected_angles(boxes, {"frames": rows})
    assert set(angles.values()) == {(90.0 * turn, "detector")} and len(angles) == 20
    unsure = [row | {"turns": [[90, 70, 0, 0]]} for row in rows]
    assert detected_angles(boxes, {"frames": unsure}) == {}
    assert detected_angles(boxes, {"frames": [{"frame_id": 1, "boxes": [[0, 0, 9, 9, 0.9]]}]}) == {}  # one turn only


@pytest.mark.parametrize("turns", range(4))
def test_boxes_are_turned_back(turns: int) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 30:45] = 1
    rows, columns = np.nonzero(np.rot90(mask, turns))
    turned = np.array([[columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1]])
    assert turn_back(turned, turns, 64, 48).tolist() == [[30, 10, 45, 20]]


def test_boxes_of_one_person_in_two_turns_are_one_and_two_people_in_one_turn_are_two() -> None:
    boxes = np.array([[0.0, 0, 100, 100], [0, 40, 100, 140], [0, 0, 100, 175]])
    scores = np.array([0.9, 0.8, 0.7])
    assert suppress(boxes, scores, 0.5, np.array([0, 0, 1])).tolist() == [0, 1]
    assert suppress(boxes, scores, 0.5, np.array([0, 1, 2])).tolist() == [0, 1]
    crowd = np.array([[0.0, 0, 100, 100], [0, 25, 100, 125]])  # 0.6
    assert suppress(crowd, scores[:2], 0.5, np.array([0, 0])).tolist() == [0, 1]
    assert suppress(crowd, scores[:2], 0.5, np.array([0, 1])).tolist() == [0]


@pytest.mark.parametrize("returned", [None, [], [(np.zeros((1, 4)), [])], [([[0, 0, np.nan, 1]], [0.5])], [("a", "b")]])
def test_a_detector_that_breaks_the_interface_is_told_so(returned: Any) -> None:
    with pytest.raises(ModelError, match="mine:detect"):
        checked_detections(returned, 1, "mine:detect")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("someone/yolo", "the license of this model was not checked"),
        ("no_such_module:detect", "cannot be imported"),
        ("tests.support.drawn_films:nothing", "has no nothing"),
    ],
)
def test_detectors_that_are_refused(name: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_detector(PeopleSettings(detector=name))


def save_tiny_detector(folder: Path, labels: dict[int, str]) -> Path:
    """Save an RT-DETR with a few thousand weights and its image processor."""
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

    backbone = RTDetrResNetConfig(
        embedding_size=4, hidden_sizes=[4, 4, 4, 4], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = RTDetrConfig(
        backbone_config=backbone, encoder_hidden_dim=16, encoder_in_channels=[4, 4, 4], d_model=16, num_queries=10,
        decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16, encoder_ffn_dim=16, decoder_layers=1, encoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, id2label=labels,
        label2id={name: number for number, name in labels.items()}, num_denoising=0, feat_strides=[8, 16, 32],
    )  # fmt: skip
    RTDetrForObjectDetection(config).save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def test_a_detector_of_transformers(tmp_path: Path) -> None:
    folder = save_tiny_detector(tmp_path / "model", {0: "person", 1: "dog"})
    settings = PeopleSettings(detector=str(folder), min_score=0.0)
    frames = list(walk(3))
    found = load_detector(settings, batch_size=2)(frames)
    assert len(found) == 3
    again = load_detector(settings, batch_size=3)(frames)
    for (boxes, scores), (other, others) in zip(found, again, strict=True):
        assert boxes.shape == (len(scores), 4)
        np.testing.assert_allclose(boxes, other, atol=0.05)
        np.testing.assert_allclose(scores, others, atol=1e-4)


def test_neither_pickles_nor_code_of_a_detector_are_loaded(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = save_tiny_detector(tmp_path / "model", {0: "person"})
    config = json.loads((folder / "config.json").read_text())
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.rename(tmp_path / "kept.safetensors")
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_detector(PeopleSettings(detector=str(folder)))
    assert "\n" not in str(caught.value)
    (tmp_path / "kept.safetensors").rename(weights)
    (folder / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    code = {"AutoConfig": "theirs.Config", "AutoModelForObjectDetection": "theirs.Model"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "theirs", "auto_map": code}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_detector(PeopleSettings(detector=str(folder)))
    assert not (tmp_path / "ran").exists()


def test_a_detector_without_people_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_detector(tmp_path / "model", {0: "cat", 1: "dog"})
    with pytest.raises(ModelError, match="has no class for people, only cat, dog"):
        load_detector(PeopleSettings(detector=str(folder)))
