"""Key frames: one scored frame and box per person, from the AVA-style files, or by the rule that made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .actions import ACTION_HINT, LABEL_OF_ID, is_no_action
from .bounding_boxes import BOX, clip_places, drop_bad_boxes, drop_bad_frames, drop_bad_persons, drop_unknown_clips
from .csv_reader import REAL, TEXT, WHOLE, CsvRows, read_csv_rows
from .faults import ErrorPolicy

COLUMNS = {
    "video_id": TEXT,
    "frame": WHOLE,
    "x1": REAL,
    "y1": REAL,
    "x2": REAL,
    "y2": REAL,
    "action_id": WHOLE,
    "person_id": WHOLE,
}
SPLITS = ("train", "validation", "test")
SPLIT_OF_FILE = {"ava_train": 0, "ava_val": 1, "ava_test": 2, "ava_all": -1}
OUTSIDE = 0.001  # normalised boxes have three decimals: one unit in the last place past the border is rounding

KEY_FRAME_SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("frame", pa.int32()),
        ("person_id", pa.int32()),
        *((name, pa.float64()) for name in BOX),
        ("split", pa.string()),
    ]
)


def read_key_frames(
    files: dict[str, tuple[Path, str]], clips: pa.Table, labels: pa.Table, policy: ErrorPolicy
) -> tuple[pa.Table, np.ndarray, np.ndarray, dict[str, int]]:
    """Key frames of all persons, the official split of every clip (-1: none), clips to leave out, counts.

    ``files`` maps ``ava_train``, ``ava_val``, ``ava_test``, ``ava_all`` (those there are) to a path and a name.
    The rows of one person must agree on frame and box; rows that only repeat are counted.
    """
    counts: dict[str, int] = {}
    parts = []
    for field, (path, name) in files.items():
        rows = read_csv_rows(path, COLUMNS, policy, name=name, header=False, may_be_empty=("action_id",))
        counts[f"{field}_rows"] = len(rows)
        parts.append((SPLIT_OF_FILE[field], _valid(rows, clips, labels)))
    stack = _Stack(parts, clips)
    split_of_clip, left_out = _official_split(stack, len(clips))
    if len(files) == len(SPLIT_OF_FILE):
        left_out |= _not_divided(stack)
    stack = _drop_conflicts(stack)
    person = stack.clip << 20 | stack.person
    _, first = np.unique(person, return_index=True)  # sorted by clip, then person; files with a split come first
    split = stack.split[first]
    table = pa.table(
        [
            clips["video_id"].take(pa.array(stack.clip[first])),
            pa.array(stack.frame[first], pa.int32()),
            pa.array(stack.person[first], pa.int32()),
            *(pa.array(stack.box[first, i]) for i in range(4)),
            pa.array([*SPLITS, None], pa.string()).take(pa.array(split % 4)),
        ],
        schema=KEY_FRAME_SCHEMA,
    )
    return table, split_of_clip, left_out, counts


class _Stack:
    """The rows of several files as one set of arrays; ``row -> (file, row)`` for messages."""

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

    def filter(self, keep: np.ndarray) -> _Stack:
        cut = [keep[start:stop] for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True)]
        parts = [(split, rows.filter(mask)) for (split, rows), mask in zip(self.parts, cut, strict=True)]
        return _Stack(parts, self.clips)


def _valid(rows: CsvRows, clips: pa.Table, labels: pa.Table) -> CsvRows:
    rows = drop_bad_persons(drop_bad_frames(drop_unknown_clips(rows, clips, "key frame"), "frame"))
    action = rows.numbers("action_id")
    empty = np.asarray(rows.table["action_id"].is_null().combine_chunks().to_numpy(zero_copy_only=False), dtype=bool)
    rows = rows.drop(is_no_action(action) & ~empty, "unknown action id", "action_id", hint=ACTION_HINT)
    rows = drop_bad_boxes(rows, BOX, (0 - OUTSIDE, 1 + OUTSIDE), "in 0..1")
    known = np.append(_label_keys(clips, labels), -1)  # sorted, as labels are
    action, person = rows.numbers("action_id"), rows.numbers("person_id").astype(np.int64)
    key = clip_places(rows, clips).astype(np.int64) << 26 | person << 6 | LABEL_OF_ID[np.maximum(action, 0)] & 63
    return rows.drop(
        (known[np.searchsorted(known[:-1], key)] != key) & (action >= 0),
        "key frame with an action that actions.csv does not give this person",
        *("video_id", "person_id", "action_id"),
    )


def _label_keys(clips: pa.Table, labels: pa.Table) -> np.ndarray:
    place = pc.index_in(labels["video_id"], value_set=clips["video_id"].combine_chunks()).to_numpy().astype(np.int64)
    person = labels["person_id"].to_numpy().astype(np.int64)
    return place << 26 | person << 6 | LABEL_OF_ID[labels["action_id"].to_numpy()]


def _official_split(stack: _Stack, clips: int) -> tuple[np.ndarray, np.ndarray]:
    """The split that the files give each clip; a clip in two of them is a fault and left out whole."""
    split_of_clip = np.full(clips, -1, dtype=np.int64)
    divided = np.flatnonzero(stack.split >= 0)
    split_of_clip[stack.clip[divided[::-1]]] = stack.split[divided[::-1]]
    torn = divided[split_of_clip[stack.clip[divided]] != stack.split[divided]]
    _, where = np.unique(stack.clip[torn], return_index=True)
    for row in torn[np.sort(where)]:
        other = SPLITS[split_of_clip[stack.clip[row]]]
        stack.report(int(row), f"the clip is in two splits, the other is {other}", "video_id")
    left_out = np.zeros(clips, dtype=bool)
    left_out[stack.clip[torn]] = True
    return split_of_clip, left_out


def _not_divided(stack: _Stack) -> np.ndarray:
    """Clips of ``ava_all.csv`` with a row that no split file has: one of the files is cut short."""
    key = stack.clip << 26 | stack.person << 6 | LABEL_OF_ID[np.maximum(stack.action, 0)] & 63
    everything = stack.split < 0
    lost = np.flatnonzero(everything & ~np.isin(key, key[~everything]))
    _, where = np.unique(stack.clip[lost], return_index=True)
    for row in lost[np.sort(where)]:
        stack.report(int(row), "row that neither the train nor the validation nor the test file has", "video_id")
    left_out = np.zeros(len(stack.clips), dtype=bool)
    left_out[stack.clip[lost]] = True
    return left_out


def _drop_conflicts(stack: _Stack) -> _Stack:
    """Rows that give a person a second key frame or box; the first row is believed."""
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


# Key frames of a release that has none: by the rule that made the released ones.


def derive_key_frames(boxes: pa.Table, labels: pa.Table) -> pa.Table:
    """Key frames by the authors' rule: the annotated frame closest to the median of a person's annotated frames.

    The median of an even number of frames lies between two of them and both may be equally close: the earlier
    frame is taken, as the first minimum. Only persons with a label have a key frame. ``boxes`` are sorted by
    clip, person and frame, as ``read_boxes`` gives them.
    """
    place = boxes["video_id"].combine_chunks().indices.to_numpy().astype(np.int64)
    ids = boxes["video_id"].combine_chunks().dictionary
    person = place << 20 | boxes["person_id"].to_numpy()
    labelled = pc.index_in(labels["video_id"], value_set=ids).to_numpy().astype(np.int64) << 20
    labelled |= labels["person_id"].to_numpy()
    starts = np.flatnonzero(np.diff(person, prepend=-1))
    stops = np.append(starts[1:], len(person))
    # Frames ascend and differ, so the frame closest to the median is the middle one or the lower of the two
    # middle ones: of an odd number the median itself, of an even number the earlier neighbour.
    middle = (starts + stops - 1) // 2
    middle = middle[np.isin(person[middle], labelled)] if len(middle) else middle
    chosen = boxes.take(pa.array(middle))
    return pa.table(
        [
            chosen["video_id"].cast(pa.string()),
            chosen["frame"].cast(pa.int32()),
            chosen["person_id"],
            *(chosen[name].cast(pa.float64()) for name in BOX),
            pa.nulls(len(middle), pa.string()),
        ],
        schema=KEY_FRAME_SCHEMA,
    )


# The released ``*_predicted_boxes.csv``: the ground-truth boxes without actions, as a detector would give them.


def read_predicted_boxes(path: Path, clips: pa.Table, policy: ErrorPolicy, *, name: str | None = None) -> pa.Table:
    """The boxes of a ``*_predicted_boxes.csv``: its action cells are empty, its last column is a score, and a box
    is repeated once per label; here every box stands once."""
    columns = {**{column: COLUMNS[column] for column in list(COLUMNS)[:7]}, "score": REAL}
    rows = read_csv_rows(path, columns, policy, name=name, header=False, may_be_empty=("action_id",))
    rows = drop_bad_frames(drop_unknown_clips(rows, clips, "box"), "frame")
    rows = drop_bad_boxes(rows, BOX, (0 - OUTSIDE, 1 + OUTSIDE), "in 0..1")
    table = rows.table.drop_columns(["action_id"]).set_column(0, "video_id", rows.table["video_id"].cast(pa.string()))
    return table.group_by(table.column_names, use_threads=False).aggregate([])
