"""Frame-AP: the released evaluator's cases, its rules one by one, and a slow evaluator on random data."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from microg4m_hf.errors import DataError, PredictionError
from microg4m_hf.metrics import frame_ap
from microg4m_hf.taxonomy import ACTION_IDS
from tests.support.har_split import IDS, draw

PROJECT = Path(__file__).resolve().parents[2]


def same(one: float, two: float | None, within: float = 1e-9) -> bool:
    return math.isnan(one) if two is None or math.isnan(two) else abs(one - two) <= within


def test_cases_of_the_released_evaluator(shared: Path) -> None:
    cases = json.loads((shared / "data/har_edge_cases.json").read_text())["cases"]
    assert len(cases) == 112
    for case in cases:
        found = frame_ap(case["gt"], case["det"], case["ids"])
        assert list(found) == case["ids"]
        wrong = {
            a: (found[a], case["expected"]["ap"][str(a)])
            for a in found
            if not same(found[a], case["expected"]["ap"][str(a)])
        }
        assert not wrong, (case["name"], wrong)


def test_per_class_values_of_released_models(shared: Path) -> None:
    models = json.loads((shared / "data/har_models.json").read_text())
    for name, expected in models.items():
        found = frame_ap(
            shared / "data/microg4m/train_ready/ava_test_gt.csv",
            shared / "data/har_predictions" / name / "detections_test.csv",
            ACTION_IDS,
        )
        assert all(same(found[action], expected["ap"][str(action)]) for action in ACTION_IDS), name
        assert np.nanmean(list(found.values())) == pytest.approx(expected["map"], abs=1e-9)


BOX = (0.1, 0.1, 0.5, 0.5)
# name, labeled boxes (video, box), detections (video, box, score), expected AP
RULES = [
    ("a hit", [("a", BOX)], [("a", BOX, 0.9)], 1.0),
    (
        "labeled twice counts twice, the copy is never found",
        [("a", BOX), ("a", BOX)],
        [("a", BOX, 2), ("a", BOX, 1)],
        0.5,
    ),
    (
        "first in the file claims, not best score",
        [("a", BOX), ("b", BOX)],
        [("a", BOX, 1), ("a", BOX, 3), ("b", BOX, 2)],
        2 / 3,
    ),
    ("overlap of exactly a half matches", [("a", (0, 0, 1, 1))], [("a", (0, 0, 1, 0.5), 1)], 1.0),
    ("overlap just under does not", [("a", (0, 0, 1, 1))], [("a", (0, 0, 1, 0.4999), 1)], 0.0),
    (
        "no second choice",
        [("a", (0, 0, 1, 1)), ("a", (0, 0, 1, 0.9))],
        [("a", (0, 0, 1, 1), 2), ("a", (0, 0, 1, 1), 1)],
        0.5,
    ),
    ("detection without area is dropped", [("a", BOX)], [("a", (0.3, 0.1, 0.3, 0.5), 9), ("a", BOX, 1)], 1.0),
    ("inverted detection is dropped", [("a", BOX)], [("a", (0.5, 0.1, 0.1, 0.5), 9), ("a", BOX, 1)], 1.0),
    ("labeled box without area cannot be found", [("a", BOX), ("b", (0.1, 0.1, 0.1, 0.5))], [("a", BOX, 1)], 0.5),
    ("labels without detections", [("a", BOX)], [], 0.0),
    ("detections without labels", [], [("a", BOX, 1)], math.nan),
    ("frame without labels gives a miss", [("a", BOX)], [("z", BOX, 2), ("a", BOX, 1)], 0.5),
    ("of two equal scores the later row ranks first", [("a", BOX)], [("a", BOX, 1), ("z", BOX, 1)], 0.5),
    ("and the other way round", [("a", BOX)], [("z", BOX, 1), ("a", BOX, 1)], 1.0),
    ("envelope reaches back", [("a", BOX), ("b", BOX)], [("z", BOX, 3), ("a", BOX, 2), ("b", BOX, 1)], 2 / 3),
]


@pytest.mark.parametrize(("truth", "found", "expected"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_rule(truth: list, found: list, expected: float) -> None:
    references = [(video, 1, *box, 12) for video, box in truth]
    predictions = [(video, "0001", *box, 12, score) for video, box, score in found]
    assert same(frame_ap(references, predictions, [12])[12], expected, 1e-12)


def test_frames_are_collected_as_they_first_appear() -> None:
    """Rows of one frame may stand apart; among equal scores the frame seen first still comes first."""
    references = [("a", 1, *BOX, 12), ("b", 1, *BOX, 12)]
    a1, b, a2 = ("a", 1, 0.6, 0.6, 0.9, 0.9, 12, 1.0), ("b", 1, *BOX, 12, 1.0), ("a", 1, *BOX, 12, 1.0)
    # Collected: a1, a2, b; read backwards: b (hit), a2 (hit), a1.
    assert frame_ap(references, [a1, b, a2], [12])[12] == 1.0
    assert frame_ap(references, [b, a2, a1], [12])[12] == pytest.approx(2 / 3)


def slow_evaluator():
    spec = importlib.util.spec_from_file_location("slow_ava", PROJECT / "benchmarks" / "slow_ava_evaluator.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.slow_frame_ap


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_slow_evaluator(seed: int, tmp_path: Path) -> None:
    truth, found = draw(seed, clips=30, persons=3)
    random = np.random.RandomState(seed)
    truth += [truth[i] for i in random.randint(len(truth), size=5)]
    found = [
        (*row[:2], *np.round(np.array(row[2:6]) + random.randn(4) * 0.04, 3), *row[6:])
        for row in found
        for _ in range(2)
    ]
    found = [(*row[:7], row[7] + random.randn()) for row in found if random.rand() < 0.9]
    files = []
    for name, rows in (("truth", truth), ("found", found)):
        files.append(tmp_path / f"{name}.csv")
        files[-1].write_text("".join(",".join(str(value) for value in row) + "\n" for row in rows))
    expected = slow_evaluator()(*files, IDS)
    for predictions in (files[1], found):
        got = frame_ap(files[0], predictions, IDS)
        assert all(same(got[action], expected[action], 1e-12) for action in IDS)


def test_all_forms_give_the_same() -> None:
    truth, found = draw(3)
    expected = frame_ap(truth, found, IDS)
    names = ["video_id", "frame", "x1", "y1", "x2", "y2", "action_id"]
    columns = {name: np.array(values) for name, values in zip([*names, "score"], zip(*found, strict=True), strict=True)}
    assert frame_ap(truth, columns, IDS) == expected
    assert frame_ap(truth, tuple(columns.values()), IDS) == expected
    assert frame_ap(truth, [list(values) for values in columns.values()], IDS) == expected
    assert frame_ap(truth, pa.table(columns), IDS) == expected
    assert frame_ap(truth, [dict(zip(columns, row, strict=True)) for row in found], IDS) == expected
    assert frame_ap([row[:7] for row in truth], [[str(value) for value in row] for row in found], IDS) == expected
    boxed = {"video_id": columns["video_id"], "frame": columns["frame"], "score": columns["score"]}
    boxed |= {
        "boxes": np.stack([columns[side] for side in ("x1", "y1", "x2", "y2")], axis=1),
        "action_id": columns["action_id"],
    }
    assert frame_ap(truth, boxed, IDS) == expected


def test_empty_columns_are_no_detections() -> None:
    assert frame_ap([("a", 1, *BOX, 12)], [], [12]) == {12: 0.0}
    assert math.isnan(frame_ap([], [("a", 1, *BOX, 12, 0.5)], [12])[12])


def test_nan_and_inverted_labels_are_refused() -> None:
    with pytest.raises(PredictionError, match="nan"):
        frame_ap([("a", 1, *BOX, 12)], [("a", 1, *BOX, 12, math.nan)], [12])
    with pytest.raises(DataError, match="x2 < x1 or y2 < y1"):
        frame_ap([("a", 1, 0.5, 0.1, 0.1, 0.5, 12)], [("a", 1, *BOX, 12, 1.0)], [12])


def test_negative_ids_are_refused() -> None:
    with pytest.raises(PredictionError, match="-3 is not an action id"):
        frame_ap([("a", 1, *BOX, 12)], [("a", 1, *BOX, 12, 1.0)], [12, -3])
