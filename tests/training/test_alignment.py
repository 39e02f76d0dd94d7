"""``data.align``: a crop for each person, turned so that the head is up, wherever it was in the frame."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from microg4m_hf.bench.orientation import TurnedWindows
from microg4m_hf.data.turns import TURNS, Turn
from microg4m_hf.errors import RecipeError
from microg4m_hf.training.build import split_items
from microg4m_hf.training.loading.dataset import KeyFrame, KeyFrameWindows, align_items
from microg4m_hf.training.loading.loader import slot_bytes
from microg4m_hf.training.loading.transforms import render_packed
from microg4m_hf.training.predict_run import predict_har, recipe_of
from microg4m_hf.training.recipe import Data
from microg4m_hf.training.recipe_io import override_recipe

HEADER = "video_id,frame_id,person_id,angle_degrees\n"
DATA = Data(num_frames=1, stride=8, short_side=(96, 96), crop=40, eval_short_side=48, align="box")


def _item(persons: int = 1, **values: Any) -> KeyFrame:
    boxes = np.array([[0.30, 0.40, 0.70, 0.55], [0.4, 0.1, 0.5, 0.9]], np.float32)[:persons]
    labels = np.arange(persons * 50, dtype=np.uint8).reshape(persons, 50)
    return KeyFrame(
        None, "a_001", 52, boxes, labels, np.arange(1, persons + 1), repeats=((1,), (2,))[:persons], **values
    )


class _Painted(TurnedWindows):
    """Clips that are black but for a head: the third of a wide box at its left end."""

    def _frames(self, item: KeyFrame) -> np.ndarray:
        frames = np.zeros((1, 96, 160, 3), np.uint8)
        frames[:, 39:53, 48:69] = 255
        return frames


def _head(item: Any) -> tuple[float, float]:
    """Where the middle of the head is in what the model sees, relative to the middle of the box."""
    pixels = render_packed(item.frames, item.geometry)[0, 0].astype(float) + 32768
    rows, columns = np.nonzero(pixels > 32768)
    side = item.geometry.crop_height
    x1, y1, x2, y2 = item.boxes[0] * side
    assert columns.min() >= x1 - 1 and columns.max() <= x2 + 1 and rows.min() >= y1 - 1 and rows.max() <= y2 + 1
    assert [(x1 + x2) / 2, (y1 + y2) / 2] == pytest.approx([side / 2] * 2, abs=0.51)
    return columns.mean() - (x1 + x2) / 2, rows.mean() - (y1 + y2) / 2


@pytest.mark.parametrize("turn", [*TURNS, Turn(90, mirrored=True)])
def test_a_file_brings_the_head_up_however_the_clip_is_turned(turn: Turn) -> None:
    """The head points to the left, which is 270 degrees."""
    for training in (False, True):
        data = dataclasses.replace(DATA, align="poses.csv", flip=0.0)
        windows = _Painted([_item(angles=np.array([270.0]))], data, turn, training=training)
        across, down = _head(windows[0])
        assert abs(across) < 1.5 and down < -5


def test_boxes_stand_people_upright_but_do_not_know_the_head() -> None:
    for turn in TURNS:
        item = _Painted([_item()], dataclasses.replace(DATA, flip=0.0), turn)[0]
        across, down = _head(item)
        assert abs(across) < 1.5 and abs(down) > 5
        x1, y1, x2, y2 = item.boxes[0]
        assert (y2 - y1) > 2 * (x2 - x1)


def test_a_drawn_rotation_is_added_to_the_alignment() -> None:
    data = dataclasses.replace(DATA, align="poses.csv", rotate="quarter", flip=0.0)
    windows = _Painted([_item(angles=np.array([270.0]))] * 12, data, Turn(0), training=True)
    sides = {tuple(round(value / 6) for value in _head(windows[index])) for index in range(12)}
    assert len(sides) == 4
    assert render_packed(windows[0].frames, windows[0].geometry).nbytes <= slot_bytes(windows)


def test_every_person_is_an_item() -> None:
    items = align_items([_item(2), _item(1)], DATA)
    assert [item.person_ids.tolist() for item in items] == [[1], [2], [1]]
    assert [item.repeats for item in items] == [((1,),), ((2,),), ((1,),)]
    assert all(len(item.boxes) == len(item.labels) == 1 for item in items)
    assert np.array_equal(items[1].labels[0], _item(2).labels[1])
    with pytest.raises(RecipeError, match="pass the items of `align_items`"):
        KeyFrameWindows([_item(2)], DATA)
    whole = [_item(2)]
    assert align_items(whole, dataclasses.replace(DATA, align="none")) == whole


def test_angles_come_from_the_file_and_missing_ones_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "poses.csv"
    data = dataclasses.replace(DATA, align=str(file))
    file.write_text(HEADER + "a_001,52,2,30\n")
    items = align_items([_item(2)], data)
    assert [item.angles.tolist() for item in items if item.angles is not None] == [[0.0], [30.0]]
    assert "1 of 2 persons have no angle" in capsys.readouterr().err
    file.write_text(HEADER + "b_001,52,2,30\n")
    with pytest.raises(RecipeError, match=r"lists no person of these key frames; .* the first one as a_001,52,1"):
        align_items([_item(2)], data)
    file.unlink()
    with pytest.raises(RecipeError, match=r"data\.align: .*cannot be read.* or set data\.align=box"):
        align_items([_item(2)], data)


def test_a_model_predicts_aligned_persons_and_scores_all_of_them(finished: Path, tmp_path: Path) -> None:
    recipe = override_recipe(recipe_of(str(finished)), ["data.align=box"])
    result = predict_har(recipe, tmp_path / "aligned", "test")
    whole = split_items(dataclasses.replace(recipe.data, align="none"), "test")
    table = parquet.read_table(tmp_path / "aligned" / "predictions" / "test.parquet").to_pydict()
    persons = {(item.video_id, item.frame, int(one)) for item in whole for one in item.person_ids}
    assert set(zip(table["video_id"], table["frame"], table["person_id"], strict=True)) == persons
    plain = predict_har(recipe_of(str(finished)), tmp_path / "plain", "test")
    assert result["test"]["chance_map"] == plain["test"]["chance_map"]
    assert predict_har(recipe, tmp_path / "aligned", "test")["test"]["scores"] == result["test"]["scores"]  # journal
