"""Read the key frames, one scored frame and box per person, from the AVA-style files; or derive them from the boxes.

Also reads the released ``*_predicted_boxes.csv``: the key boxes without actions, in the form of a detector's output.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from .actions import ACTION_HINT, LABEL_OF_ID, drop_bad_persons, is_no_action, label_table, person_keys
from .bounding_boxes import BOX, clip_places, drop_bad_boxes, drop_bad_frames, drop_unknown_clips
from .csv_reader import REAL, TEXT, WHOLE, CsvRows, read_csv_rows
from .faults import ErrorPolicy
from .layout import Layout

SPLITS = ("train", "validation", "test")
FIELD_OF_SPLIT = {"train": "ava_train", "validation": "ava_val", "test": "ava_test"}  # the file, by its `Layout` field
SPLIT_OF_FIELD = {**{field: split for split, field in enumerate(FIELD_OF_SPLIT.values())}, "ava_all": -1}
COLUMNS = {"video_id": TEXT, "frame": WHOLE, **dict.fromkeys(BOX, REAL), "action_id": WHOLE, "person_id": WHOLE}
OUTSIDE = 0.001  # normalized boxes have three decimals: a box that ends 0.001 past the border was rounded

_IDS = {"video_id": pa.string(), "frame": pa.int32(), "person_id": pa.int32()}
KEY_FRAME_SCHEMA = pa.schema({**_IDS, **dict.fromkeys(BOX, pa.float64()), "split": pa.string()})


class KeyFrames(NamedTuple):
    """What the key-frame files hold."""

    table: pa.Table  # KEY_FRAME_SCHEMA, one row per person
    official: pa.Array | None  # the split of each clip, null if no file names it; None if a file is missing
    left_out: np.ndarray  # per clip: it cannot be used
    repeats: pa.Table | None  # video_id, person_id, action_id: a row for each further time that a file lists a label
    counts: dict[str, int]


def read_key_frames(layout: Layout, clips: pa.Table, labels: pa.Table, policy: ErrorPolicy) -> KeyFrames:
    """Read the key frames of all persons. The rows of one person must have the same frame and box."""
    files = {field: path for field in SPLIT_OF_FIELD if (path := getattr(layout, field)) is not None}
    if not files:
        return KeyFrames(KEY_FRAME_SCHEMA.empty_table(), None, np.zeros(len(clips), dtype=bool), None, {})
    counts: dict[str, int] = {}
    parts = []
    for field, path in files.items():
        rows = read_csv_rows(path, COLUMNS, policy, name=layout.name(path), header=False, may_be_empty=("action_id",))
        counts[f"{field}_rows"] = len(rows)
        parts.append((SPLIT_OF_FIELD[field], _drop_invalid(rows, clips, labels)))
    stack = _StackedRows(parts, clips)
    official, left_out = _official_split(stack)
    if len(files) == len(SPLIT_OF_FIELD):
        left_out |= _without_split(stack)
    stack = _drop_conflicts(stack)
    person = stack.clip << 20 | stack.person
    _, first = np.unique(person, return_index=True)  # sorted by clip, then person; files with a split come first
    split_names = pa.array([*SPLITS, None], pa.string())
    table = pa.table(
        [
            clips["video_id"].take(pa.array(stack.clip[first])),
            pa.array(stack.frame[first], pa.int32()),
            pa.array(stack.person[first], pa.int32()),
            *(pa.array(stack.box[first, i]) for i in range(4)),
            split_names.take(pa.array(stack.split[first] % 4)),
        ],
        schema=KEY_FRAME_SCHEMA,
    )
    is_divided = files.keys() >= set(FIELD_OF_SPLIT.values())
    splits = split_names.take(pa.array(official % 4)) if is_divided else None
    return KeyFrames(table, splits, left_out, _repeated_labels(stack), counts)


class _StackedRows:
    """The rows of several files as one set of arrays; knows the file of each row for messages."""

    def __init__(self, parts: list[tuple[int, CsvRows]], clips: pa.Table) -> None:
        self.parts = parts
        self.clips = clips
        self.starts = np.cumsum([0, *(len(rows) for _, rows in parts)])
        self.split = np.concatenate([np.full(len(rows), split, dtype=np.int64) for split, rows in parts])
        self.clip = np.concatenate([clip_places(rows, clips) for _, rows in parts]).astype(np.int64)
        self.frame = np.concatenate([rows.numbers("frame") for _, rows in parts])
        self.person = np.concatenate([rows.numbers("person_id") for _, rows in parts]).astype(np.int64)
        self.action = np.concatenate([rows.numbers("action_id") for _, rows in parts])
        self.box = np.concatenate([np.stack([rows.numbers(name) for name in BOX], axis=1) for _, rows in parts])

    def report(self, row: int, reason: str, *columns: str, hint: str | None = None) -> None:
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        self.parts[part][1].report(row - int(self.starts[part]), reason, columns, hint)

    def report_clips(self, rows: np.ndarray, reason: Callable[[int], str]) -> np.ndarray:
        """Report the first of these rows of each clip, and return a mask of the clips."""
        _, where = np.unique(self.clip[rows], return_index=True)
        for row in rows[np.sort(where)].tolist():
            self.report(row, reason(row), "video_id")
        mask = np.zeros(len(self.clips), dtype=bool)
        mask[self.clip[rows]] = True
        return mask

    def filter(self, keep: np.ndarray) -> _StackedRows:
        cut = [keep[start:stop] for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True)]
        parts = [(split, rows.filter(mask)) for (split, rows), mask in zip(self.parts, cut, strict=True)]
        return _StackedRows(parts, self.clips)


def _drop_invalid(rows: CsvRows, clips: pa.Table, labels: pa.Table) -> CsvRows:
    rows = drop_bad_persons(drop_bad_frames(drop_unknown_clips(rows, clips, "key frame"), "frame"))
    action = rows.numbers("action_id")
    is_empty = rows.table["action_id"].is_null().to_numpy()
    rows = rows.drop(is_no_action(action) & ~is_empty, "unknown action id", "action_id", hint=ACTION_HINT)
    rows = drop_bad_boxes(rows, BOX, (0 - OUTSIDE, 1 + OUTSIDE), "in 0..1")
    label = LABEL_OF_ID[labels["action_id"].to_numpy()]
    known = np.append(person_keys(labels, clips["video_id"].combine_chunks()) << 6 | label, -1)  # sorted, as labels are
    action, person = rows.numbers("action_id"), rows.numbers("person_id").astype(np.int64)
    key = clip_places(rows, clips).astype(np.int64) << 26 | person << 6 | LABEL_OF_ID[np.maximum(action, 0)] & 63
    return rows.drop(
        (known[np.searchsorted(known[:-1], key)] != key) & (action >= 0),
        "key frame with an action that actions.csv does not give this person",
        *("video_id", "person_id", "action_id"),
    )


def _official_split(stack: _StackedRows) -> tuple[np.ndarray, np.ndarray]:
    """Return the split of each clip (-1: none), and a mask of the clips that are in two splits, which is a fault."""
    split_of_clip = np.full(len(stack.clips), -1, dtype=np.int64)
    has_split = np.flatnonzero(stack.split >= 0)
    split_of_clip[stack.clip[has_split[::-1]]] = stack.split[has_split[::-1]]
    in_two = has_split[split_of_clip[stack.clip[has_split]] != stack.split[has_split]]
    other = np.array(SPLITS)[split_of_clip[stack.clip]]
    return split_of_clip, stack.report_clips(
        in_two, lambda row: f"the clip is in two splits, the other is {other[row]}"
    )


def _without_split(stack: _StackedRows) -> np.ndarray:
    """Return a mask of the clips with a row of ``ava_all.csv`` that no split file has: a file is incomplete."""
    key = stack.clip << 26 | stack.person << 6 | LABEL_OF_ID[np.maximum(stack.action, 0)] & 63
    everything = stack.split < 0
    lost = np.flatnonzero(everything & ~np.isin(key, key[~everything]))
    return stack.report_clips(lost, lambda row: "this row is in none of the train, validation and test files")


def _drop_conflicts(stack: _StackedRows) -> _StackedRows:
    """Drop rows that give a person a second key frame or box; the first row is kept."""
    person = stack.clip << 20 | stack.person
    _, first, group = np.unique(person, return_index=True, return_inverse=True)
    first = first[group]
    differs = (stack.frame != stack.frame[first]) | (stack.box != stack.box[first]).any(axis=1)
    if not differs.any():
        return stack
    for row in np.flatnonzero(differs):
        reason = "the person has another key frame or box in an earlier row"
        stack.report(int(row), reason, "video_id", "person_id", "frame", *BOX)
    return stack.filter(~differs)


def _repeated_labels(stack: _StackedRows) -> pa.Table:
    """Return the labels that one file lists more than once; ``ava_all.csv`` lists those of all files again."""
    rows = np.flatnonzero(stack.action >= 0)
    key = stack.clip[rows] << 26 | stack.person[rows] << 6 | LABEL_OF_ID[stack.action[rows]]
    in_file, count = np.unique(key << 2 | stack.split[rows] + 1, return_counts=True)
    labels, first = np.unique(in_file >> 2, return_index=True)
    most = np.maximum.reduceat(count, first) if first.size else count
    return label_table(stack.clips["video_id"].combine_chunks(), np.repeat(labels, most - 1))


def derive_key_frames(boxes: pa.Table, labels: pa.Table) -> pa.Table:
    """Return key frames by the authors' rule: the annotated frame closest to the median of a person's frames.

    The median of an even number of frames is between two of them; the earlier frame is taken. Only persons with a
    label have a key frame. ``boxes`` must be sorted by clip, person and frame, as ``read_boxes`` returns them.
    """
    ids = boxes["video_id"].combine_chunks().dictionary
    person = person_keys(boxes, ids)
    starts = np.flatnonzero(np.diff(person, prepend=-1))
    stops = np.append(starts[1:], len(person))
    # Frames are distinct and ascending, so the frame closest to the median is the middle one, or the lower of two.
    middle = (starts + stops - 1) // 2
    middle = middle[np.isin(person[middle], person_keys(labels, ids))] if len(middle) else middle
    rows = boxes.take(pa.array(middle))
    rows = rows.append_column("split", pa.nulls(len(middle), pa.string()))
    return rows.select(KEY_FRAME_SCHEMA.names).cast(KEY_FRAME_SCHEMA)


def read_predicted_boxes(path: Path, clips: pa.Table, policy: ErrorPolicy, *, name: str | None = None) -> pa.Table:
    """Return the distinct boxes of a ``*_predicted_boxes.csv``, which repeats a box for each of its labels.

    The action cells of the file are empty, and its last column is a score.
    """
    columns = {**{column: COLUMNS[column] for column in list(COLUMNS)[:7]}, "score": REAL}
    rows = read_csv_rows(path, columns, policy, name=name, header=False, may_be_empty=("action_id",))
    rows = drop_bad_frames(drop_unknown_clips(rows, clips, "box"), "frame")
    rows = drop_bad_boxes(rows, BOX, (0 - OUTSIDE, 1 + OUTSIDE), "in 0..1")
    table = rows.table.drop_columns(["action_id"]).set_column(0, "video_id", rows.table["video_id"].cast(pa.string()))
    return table.group_by(table.column_names, use_threads=False).aggregate([])
