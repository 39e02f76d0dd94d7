"""Malformed prediction files: each gives an error that names the problem, its place and the fix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from microg4m_hf.errors import PredictionError
from microg4m_hf.metrics import har_scores
from microg4m_hf.taxonomy import ACTION_IDS
from tests.support.har_split import dense, draw

TRUTH, FOUND = draw(40, clips=6, persons=2)
FULL = [
    (clip["video_id"], clip["frame"], *box, action, value)
    for clip in dense(FOUND)
    for box, values in zip(clip["boxes"], clip["scores"], strict=True)
    for action, value in zip(ACTION_IDS, values, strict=True)
]


def lines(rows: list[tuple] = FULL) -> list[str]:
    return [",".join(str(value) for value in row) for row in rows]


def changed(line: int, field: int, value: object) -> str:
    """The whole file with one field replaced; lines count from 1."""
    rows = [list(row) for row in FULL]
    rows[line - 1][field] = value
    return "\n".join(lines(rows))


def without(field: int, header: str = "") -> str:
    """The whole file without one column."""
    return header + "\n".join(",".join(str(value) for place, value in enumerate(row) if place != field) for row in FULL)


def moved(change) -> str:
    """The whole file with every row changed."""
    return "\n".join(lines([change(row) for row in FULL]))


FIRST = FULL[0][0]
CSV = [
    ("empty file", "", r"the file is empty"),
    ("only a header", "video_id,frame,x1,y1,x2,y2,action_id,score\n", "holds no predictions"),
    ("seven columns", without(7), "line 1 has 7 columns"),
    ("a column twice", "video_id,frame,x1,y1,x2,y2,action_id,score,logits,score\n", "line 1 names a column twice"),
    ("nine columns", "\n".join(line + ",9" for line in lines()), "line 1 has 9 columns"),
    ("one line cut off", "\n".join([*lines()[:30], "film0_000,50,0.1"]), "line 31 has 3 columns.*cut off"),
    ("header without score", without(7, "video_id,frame,x1,y1,x2,y2,action_id\n"), "column 'score' is missing"),
    ("header without x2", without(4, "video_id,frame,x1,y1,y2,action_id,score\n"), "column 'x2' is missing"),
    ("text for a score", changed(7, 7, "high"), "line 7: score is 'high' .it must be a number"),
    ("text for a box side", changed(3, 2, "left"), "line 3: x1 is 'left'"),
    ("text for a frame", changed(5, 1, "fifty"), "line 5: frame is 'fifty' .it must be a whole number"),
    ("fraction for an action", changed(5, 6, "12.5"), "line 5: action_id is '12.5'"),
    ("empty score", changed(4, 7, ""), "line 4: score is empty"),
    (
        "boxes alone",
        "\n".join(lines([(*row[:6], "", 1) for row in FULL[::50]])),
        "line 1: action_id is empty .*boxes alone",
    ),
    ("empty video id", changed(2, 0, ""), "line 2: video_id is empty|a video_id is empty"),
    ("nan", changed(9, 7, "nan"), "line 9.*score is nan .1 of"),
    ("infinity", changed(9, 7, "-inf"), "line 9.*score is -inf"),
    ("unknown action", changed(8, 6, 2), "line 8.*action ids 2 are not among the 50 classes.*classes=80"),
    ("action 0", changed(8, 6, 0), "action ids 0 are not among"),
    ("action 81", changed(8, 6, 81), "action ids 81 are not among"),
    ("unknown clip", changed(1, 0, "nowhere_001"), "1 clips are not in the references: nowhere_001"),
    ("another split", moved(lambda row: (f"x{row[0]}", *row[1:])), "6 clips are not in the references"),
    (
        "pixels",
        moved(lambda row: (*row[:2], *(side * 480 for side in row[2:6]), *row[6:])),
        "outside the frame.*look like pixels",
    ),
    ("box outside", changed(6, 4, 1.7), "line 6.*outside the frame .1 such"),
    ("nan in a box", changed(6, 4, "nan"), "line 6.*is not finite"),
    ("negative frame", changed(6, 1, -1), "frame -1 is negative"),
    ("two scores for one box", "\n".join(lines([*FULL, (*FULL[0][:7], 5.5)])), "this box has two scores"),
    ("a class missing", "\n".join(lines(FULL[1:])), "1 of 50 classes have no score for this box"),
    ("a box missing", "\n".join(lines(FULL[50:])), f"have no prediction: {FIRST}"),
    ("frames off by one", moved(lambda row: (row[0], row[1] + 1, *row[2:])), "no prediction lies on a frame"),
]


def test_the_whole_file_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text("\n".join(lines()))
    assert har_scores(path, TRUTH)["scores"] == har_scores(FULL, TRUTH)["scores"]
    path.write_text("video_id,frame,xmin,ymin,xmax,ymax,action_id,score\n" + "\n".join(lines()))
    assert har_scores(path, TRUTH)["scores"] == har_scores(FULL, TRUTH)["scores"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffvideo_id,frame,x1,y1,x2,y2,action_id,score\r\n" + "\r\n".join(lines()),
        "\n\nvideo_id,frame,x1,y1,x2,y2,action_id,score\n\n" + "\n".join(lines()),
        moved(lambda row: (row[0], float(row[1]), *row[2:6], f"{row[6]}.0", row[7])),
        moved(lambda row: (row[0], f"{row[1]:04}", *row[2:])),
    ],
    ids=["from a spreadsheet", "blank lines", "frames as fractions", "frames with zeros in front"],
)
def test_unusual_files_are_read(content: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_bytes(content.encode())
    assert har_scores(path, TRUTH)["scores"] == har_scores(FULL, TRUTH)["scores"]


@pytest.mark.parametrize(("content", "message"), [case[1:] for case in CSV], ids=[case[0] for case in CSV])
def test_malformed_csv(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(content)
    with pytest.raises(PredictionError, match=message):
        har_scores(path, TRUTH)


def test_other_files(tmp_path: Path) -> None:
    table = {"video_id": ["a"], "frame": [1], "x1": [0.0], "y1": [0.0], "x2": [1.0], "y2": [1.0]}
    files = {
        "missing.csv": (None, "there is no such file"),
        "missing.parquet": (None, "there is no such file"),
        "predictions.xlsx": (b"PK", r"files \.xlsx are not supported"),
        "binary.csv": (bytes(range(128, 256)), "not a text file"),
        "torn.parquet": (b"PAR1" + bytes(40), "cannot be read as Parquet"),
        "narrow.parquet": ({**table, "scores": [[0.5] * 12]}, "12 scores per box"),
        "ragged.parquet": (
            {name: values * 2 for name, values in table.items()} | {"scores": [[0.5] * 50, [0.5] * 49]},
            "lists of one length",
        ),
        "nameless.parquet": ({name: values for name, values in table.items() if name != "frame"}, "'frame' is missing"),
        "null.parquet": ({**table, "scores": pa.array([None], pa.list_(pa.float64()))}, "row 0: score is empty"),
    }
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(PredictionError, match=r"folder\.csv: cannot be read"):
        har_scores(tmp_path / "folder.csv", TRUTH)
    for name, (content, message) in files.items():
        path = tmp_path / name
        if isinstance(content, dict):
            pq.write_table(pa.table(content), path)
        elif content is not None:
            path.write_bytes(content)
        with pytest.raises(PredictionError, match=message):
            har_scores(path, TRUTH)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (3, "cannot use int"),
        ([(1, 2)], "row 0 is \\(1, 2\\)"),
        ([FULL[0], FULL[1][:7]], "row 1 is"),
        ({}, "nothing was given"),
        ([], "holds no predictions"),
        ([{"video_id": "a", "frame": 1, "boxes": [[0, 0, 1, 1]], "scores": []}], "1 boxes but 0 of 'score'"),
        ([{"video_id": "a", "frame": 1, "boxes": [[0, 0, 1]], "scores": [[0.0] * 50]}], "give x1, y1, x2, y2"),
        ([{"video_id": 7, "frame": 1, "boxes": [[0, 0, 1, 1]], "scores": [[0.0] * 50]}], "video_id is not a string"),
        (
            {"video_id": ["a", "b"], "frame": [1], "boxes": np.zeros((2, 4)), "scores": np.zeros((2, 50))},
            "has 1 entries",
        ),
    ],
)
def test_malformed_objects(predictions: object, message: str) -> None:
    with pytest.raises(PredictionError, match=message):
        har_scores(predictions, TRUTH)


@pytest.mark.parametrize(
    "settings",
    [
        {"protocol": "coco"},
        {"missing": "skip"},
        {"unknown": "keep"},
        {"classes": 51},
        {"classes": [1, 1]},
        {"iou": 0},
        {"by": "color"},
        {"scores_are": "votes", "protocol": "instance"},
    ],
    ids=str,
)
def test_invalid_options(settings: dict) -> None:
    with pytest.raises(PredictionError, match=r"use|outside|give each|must be more than 0 and at most 1"):
        har_scores(FULL, TRUTH, **settings)


def test_unknown_clips_and_missing_scores_on_request() -> None:
    extra = [("nowhere_001", *row[1:]) for row in FULL[:50]]
    result = har_scores(FULL + extra, TRUTH, unknown="drop")
    assert result["scores"] == har_scores(FULL, TRUTH)["scores"]
    assert result["counts"]["dropped_rows"] == 50
    assert har_scores(FULL[1:], TRUTH, missing="zero")["counts"]["absent_scores"] == 1
