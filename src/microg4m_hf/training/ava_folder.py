"""Read any dataset in AVA's format as key frames, to evaluate models on Earth by the same protocol.

The folder contains clips below ``videos/``, each named ``<video_id>`` with a video suffix, and ``annotations.csv``
without a header: ``video_id, frame, x1, y1, x2, y2, action_id, person_id``. Frames count from 1, boxes are normalized,
and action ids are AVA's 1 to 80.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..taxonomy import NUM_AVA_CLASSES
from .loading.dataset import KeyFrame
from .predict import reference_columns

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")
_TWO_BOXES = "a person has two boxes in one frame"
_ROW = "write rows of clip, frame, x1, y1, x2, y2, action id, person"


def ava_items(folder: str | os.PathLike[str]) -> list[KeyFrame]:
    """Read the key frames of a folder; labels have 80 columns, of which column ``j`` is AVA's id ``j + 1``."""
    root = Path(folder)
    file = root / "annotations.csv"
    if not file.is_file():
        raise DataError("the folder has no annotations.csv", file=root, hint="write it, or name another folder")
    clips = {path.stem: path for path in (root / "videos").rglob("*") if path.suffix.lower() in SUFFIXES}
    persons_by_frame: dict[tuple[str, int], dict[int, tuple[list[float], set[int]]]] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.reader(lines), start=1):
            video, frame, box, action, person = _row(row, file, number)
            if video not in clips:
                hint = "put it there, or remove the row"
                raise DataError("there is no such clip below videos/", file=file, line=number, value=video, hint=hint)
            known, actions = persons_by_frame.setdefault((video, frame), {}).setdefault(person, (box, set()))
            if known != box:
                raise DataError(_TWO_BOXES, file=file, line=number, value=person, hint="keep one of them")
            actions.add(action)
    if not persons_by_frame:
        raise DataError("the file is empty", file=file, hint=_ROW)
    return [
        _key_frame(clips[video], video, frame, persons) for (video, frame), persons in sorted(persons_by_frame.items())
    ]


def ava_references(items: Sequence[KeyFrame]) -> dict[str, Any]:
    """Return the references of key frames as metrics take them, with AVA's ids."""
    columns = reference_columns(items)
    return columns | {"action_ids": [labels + 1 for labels in columns.pop("labels")]}


def shared_map(one: dict[str, Any], two: dict[str, Any]) -> dict[str, float]:
    """Return the mAP of two results over the classes with labels in both, and how many classes these are."""
    pairs = [
        (one["per_class"][action]["ap"], two["per_class"][action]["ap"])
        for action in sorted(one["per_class"].keys() & two["per_class"].keys())
    ]
    both = np.array([pair for pair in pairs if not np.isnan(pair).any()]).reshape(-1, 2)
    if not len(both):
        return {"classes": 0}
    first, second = both.mean(0).tolist()
    return {"classes": len(both), "one": first, "two": second, "gap": first - second}


def _row(row: list[str], file: Path, line: int) -> tuple[str, int, list[float], int, int]:
    try:
        video, frame, *sides, action, person = row
        box, numbers = [float(side) for side in sides], [int(frame), int(action), int(person)]
    except ValueError:
        raise DataError("the line cannot be read", file=file, line=line, hint=_ROW) from None
    if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        problem = "a box needs x1 < x2 and y1 < y2, between 0 and 1"
        raise DataError(problem, file=file, line=line, value=sides, hint="divide pixels by the size of the frame")
    if numbers[0] < 1 or not 1 <= numbers[1] <= NUM_AVA_CLASSES:
        hint = "count frames from 1, and use the ids of AVA, 1 to 80"
        raise DataError(
            "the frame or the action id is out of range", file=file, line=line, value=numbers[:2], hint=hint
        )
    return video, numbers[0], box, numbers[1], numbers[2]


def _key_frame(path: Path, video: str, frame: int, persons: dict[int, tuple[list[float], set[int]]]) -> KeyFrame:
    labels = np.zeros((len(persons), NUM_AVA_CLASSES), np.uint8)
    for number, (_, actions) in enumerate(persons.values()):
        labels[number, [action - 1 for action in actions]] = 1
    return KeyFrame(
        video=str(path),
        video_id=video,
        frame=frame,
        boxes=np.array([box for box, _ in persons.values()], np.float32),
        labels=labels,
        person_ids=np.array(list(persons), np.int64),
    )
