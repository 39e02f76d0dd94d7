"""``bounding_boxes.csv``: every person's box in every frame, from pixels to parts of the frame."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .actions import MAX_FRAME, MAX_PERSON, is_no_person
from .csv_reader import REAL, TEXT, WHOLE, CsvRows, read_csv_rows
from .faults import ErrorPolicy
from .frame_size import ASSUMED, ASSUMPTION, FrameSizes, infer_frame_sizes

# The checks that key frames and tracks share: does the clip exist, is the frame a frame, the box a box.

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


CORNERS = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = {"video_id": TEXT, "frame_id": WHOLE, "person_id": WHOLE, **dict.fromkeys(CORNERS, REAL)}

# A detector's box rounded outwards to whole pixels ends at most one pixel past the frame; it is cut at the border.
OUTSIDE = 1.0
_LARGEST = 100_000  # no frame has more pixels on a side


def read_boxes(
    path: Path,
    clips: pa.Table,
    key_frames: pa.Table,
    header: Callable[[int], tuple[int, int] | None],
    policy: ErrorPolicy,
    *,
    name: str | None = None,
) -> tuple[pa.Table, FrameSizes, dict[str, int]]:
    """All boxes sorted by clip, person and frame, normalised to 0..1; sizes of the clips; counts.

    ``header`` gives the size that a clip's file says, for clips whose key frames do not tell it. The ``video_id``
    column is dictionary-encoded, and its codes are the places in ``clips``.
    """
    rows = read_csv_rows(path, COLUMNS, policy, name=name)
    raw = len(rows)
    rows = drop_bad_persons(drop_bad_frames(drop_unknown_clips(rows, clips, "box"), "frame_id"))
    rows = drop_bad_boxes(rows, CORNERS, (-OUTSIDE, _LARGEST), f"at least -{OUTSIDE:g} pixels")
    before, known = len(rows), policy.total
    rows, key = _in_order(rows, clips)
    repeats = before - len(rows) - (policy.total - known)
    sizes = _frame_sizes(rows, clips, key, key_frames, header)
    scaled = _scaled(rows, clips, sizes)
    if not all((part >= 0).all() and (part <= 1).all() for part in scaled):
        rows = _drop_beyond_the_frame(rows, clips, sizes)
        scaled = [np.clip(part, 0, 1) for part in _scaled(rows, clips, sizes)]
    ids = pa.DictionaryArray.from_arrays(pa.array(clip_places(rows, clips)), clips["video_id"].combine_chunks())
    table = pa.table(
        {
            "video_id": ids,
            "frame": rows.numbers("frame_id").astype(np.int16),
            "person_id": rows.numbers("person_id"),
            **dict(zip(BOX, scaled, strict=True)),
        }
    )
    if (sizes.how == ASSUMPTION).any():
        warnings.warn(
            f"the frame size of {(sizes.how == ASSUMPTION).sum()} clips is not known: no key frame tells it and there "
            f"is no clip to ask; {ASSUMED[0]}x{ASSUMED[1]} is assumed",
            stacklevel=3,
        )
    return table, sizes, {"box_rows": raw, "box_repeats": repeats, **sizes.counts()}


def _in_order(rows: CsvRows, clips: pa.Table) -> tuple[CsvRows, np.ndarray]:
    """The rows sorted by clip, person and frame, each box once; and these three as one ascending number per row.

    A second, different box of one person in one frame is a fault; the first row is believed.
    """
    key = clip_places(rows, clips).astype(np.int64)
    key <<= 20
    key |= rows.numbers("person_id")
    key <<= 15
    key |= rows.numbers("frame_id")
    if (key[1:] > key[:-1]).all():
        return rows, key
    key, first, group = np.unique(key, return_index=True, return_inverse=True)
    if len(key) < len(rows):
        differs = np.zeros(len(rows), dtype=bool)
        for column in CORNERS:
            values = rows.numbers(column)
            differs |= values != values[first[group]]
        reason = "the person has another box in this frame in an earlier row"
        for row in np.flatnonzero(differs):
            rows.report(int(row), reason, ("video_id", "frame_id", "person_id", *CORNERS))
    return rows.take(first), key


def _frame_sizes(
    rows: CsvRows,
    clips: pa.Table,
    key: np.ndarray,
    key_frames: pa.Table,
    header: Callable[[int], tuple[int, int] | None],
) -> FrameSizes:
    ids = clips["video_id"].combine_chunks()
    wanted = np.asarray(pc.index_in(key_frames["video_id"], value_set=ids), dtype=np.int64) << 20
    wanted = (wanted | key_frames["person_id"].to_numpy()) << 15 | key_frames["frame"].to_numpy()
    spot = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
    hit = np.flatnonzero(key[spot] == wanted) if len(key) else np.zeros(0, dtype=np.int64)
    pixels = np.stack([rows.numbers(column)[spot[hit]] for column in CORNERS], axis=1)
    normalised = np.stack([key_frames[column].to_numpy()[hit] for column in BOX], axis=1)
    needed = np.zeros(len(clips), dtype=bool)
    needed[clip_places(rows, clips)] = True
    source = np.asarray(clips["source"].combine_chunks().dictionary_encode().indices)
    return infer_frame_sizes(wanted[hit] >> 35, pixels, normalised, source, needed, header)


def _scaled(rows: CsvRows, clips: pa.Table, sizes: FrameSizes) -> list[np.ndarray]:
    """x1, y1, x2, y2 in parts of the frame."""
    across, down = ((1.0 / np.maximum(sizes.size[:, axis], 1))[clip_places(rows, clips)] for axis in (0, 1))
    parts = [np.empty(len(rows), dtype=np.float32) for _ in CORNERS]
    for i, column in enumerate(CORNERS):
        np.multiply(rows.numbers(column), down if i % 2 else across, out=parts[i], casting="same_kind")
    return parts


def _drop_beyond_the_frame(rows: CsvRows, clips: pa.Table, sizes: FrameSizes) -> CsvRows:
    clip = clip_places(rows, clips)
    x1, y1, x2, y2 = (rows.numbers(column) for column in CORNERS)
    width, height = sizes.size[clip].T
    within = (x2 <= width + OUTSIDE) & (y2 <= height + OUTSIDE) & (x1 < width) & (y1 < height) & (x2 > 0) & (y2 > 0)
    if within.all():
        return rows
    first = np.argmin(within)
    hint = f"the frame is {width[first]}x{height[first]}; at most {OUTSIDE:g} pixel past its border is rounding"
    return rows.drop(~within, "the box is outside the frame", "video_id", *CORNERS, hint=hint)
