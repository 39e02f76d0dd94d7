"""The checks that key frames and tracks share: does the clip exist, is the frame a frame, the box a box."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .actions import MAX_FRAME, MAX_PERSON, is_no_person
from .csv_rows import CsvRows

BOX = ("x1", "y1", "x2", "y2")


def clip_places(rows: CsvRows, clips: pa.Table) -> np.ndarray:
    """For every row the place of its clip in ``clips``, -1 where there is none."""
    if rows.places is None:
        codes, ids = rows.codes("video_id")
        places = pc.fill_null(pc.index_in(ids, value_set=clips["video_id"].combine_chunks()), -1)
        rows.places = np.asarray(places, dtype=np.int32)[codes]
    return rows.places


def drop_unknown_clips(rows: CsvRows, clips: pa.Table, what: str) -> CsvRows:
    return rows.drop(clip_places(rows, clips) < 0, f"{what} of a clip that actions.csv does not name", "video_id")


def drop_bad_persons(rows: CsvRows) -> CsvRows:
    return rows.drop(is_no_person(rows.numbers("person_id")), f"person_id is not in 0..{MAX_PERSON}", "person_id")


def drop_bad_frames(rows: CsvRows, column: str) -> CsvRows:
    frame = rows.numbers(column)
    return rows.drop((frame < 0) | (frame > MAX_FRAME), f"the frame number is not in 0..{MAX_FRAME}", column)


def drop_bad_boxes(rows: CsvRows, names: tuple[str, ...], limits: tuple[float, float], inside: str) -> CsvRows:
    """Leave out boxes that are not finite, outside the limits, inside out or without area."""
    low, high = limits
    x1, y1, x2, y2 = (rows.numbers(name) for name in names)
    # A comparison with nan is false, so this one line clears the usual file of all four faults.
    if ((x1 >= low) & (y1 >= low) & (x1 < x2) & (y1 < y2) & (x2 <= high) & (y2 <= high)).all():
        return rows
    finite = np.isfinite(x1) & np.isfinite(y1) & np.isfinite(x2) & np.isfinite(y2)
    rows = rows.drop(~finite, "the box has a coordinate that is no finite number", *names)
    x1, y1, x2, y2 = (rows.numbers(name) for name in names)
    rows = rows.drop((x1 >= x2) | (y1 >= y2), "the box is inside out or has no area", *names)
    x1, y1, x2, y2 = (rows.numbers(name) for name in names)
    outside = (x1 < low) | (y1 < low) | (x2 > high) | (y2 > high)
    return rows.drop(outside, f"the box is outside the frame ({inside})", *names)
