"""The released ``*_predicted_boxes.csv``: the ground-truth boxes without actions, as a detector would give them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from .box_checks import BOX, drop_bad_boxes, drop_bad_frames, drop_unknown_clips
from .csv_rows import REAL, read_csv_rows
from .keyframes import COLUMNS, OUTSIDE
from .problems import Faults


def read_predicted_boxes(path: Path, clips: pa.Table, faults: Faults, *, name: str | None = None) -> pa.Table:
    """The boxes of a ``*_predicted_boxes.csv``: its action cells are empty, its last column is a score, and a box
    is repeated once per label; here every box stands once."""
    columns = {**{column: COLUMNS[column] for column in list(COLUMNS)[:7]}, "score": REAL}
    rows = read_csv_rows(path, columns, faults, name=name, header=False, may_be_empty=("action_id",))
    rows = drop_bad_frames(drop_unknown_clips(rows, clips, "box"), "frame")
    rows = drop_bad_boxes(rows, BOX, (0 - OUTSIDE, 1 + OUTSIDE), "in 0..1")
    table = rows.table.drop_columns(["action_id"]).set_column(0, "video_id", rows.table["video_id"].cast(pa.string()))
    return table.group_by(table.column_names, use_threads=False).aggregate([])
