"""Read ``bounding_boxes.csv``, every person's box in every frame, and convert pixels to fractions of the frame.

The key-frame files are checked with the same functions for clips, persons, frames and boxes.
"""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import ClipError
from ..video.probe import read_frame_size
from .actions import MAX_FRAME, drop_bad_persons, person_keys
from .clip_files import clip_path
from .csv_reader import REAL, TEXT, WHOLE, CsvRows, read_csv_rows
from .faults import ErrorPolicy
from .frame_size import ASSUMED, ASSUMPTION, FrameSizes, infer_frame_sizes
from .layout import Layout, inside

BOX = ("x1", "y1", "x2", "y2")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = {"video_id": TEXT, "frame_id": WHOLE, "person_id": WHOLE, **dict.fromkeys(CORNERS, REAL)}

# A detector's box rounded outwards to whole pixels ends at most one pixel past the frame; it is clipped to the frame.
OUTSIDE = 1.0
_MAX_PIXELS = 100_000  # no frame has more pixels on a side


def read_boxes(
    layout: Layout, clips: pa.Table, key_frames: pa.Table, policy: ErrorPolicy
) -> tuple[pa.Table, FrameSizes, dict[str, int]]:
    """Return all boxes sorted by clip, person and frame and normalized to 0..1, the frame sizes of the clips, counts.

    The ``video_id`` column is dictionary-encoded, and its codes are the rows of ``clips``.
    """
    path = layout.require("boxes")
    rows = read_csv_rows(path, COLUMNS, policy, name=layout.name(path))
    raw = len(rows)
    rows = drop_bad_persons(drop_bad_frames(drop_unknown_clips(rows, clips, "box"), "frame_id"))
    rows = drop_bad_boxes(rows, CORNERS, (-OUTSIDE, _MAX_PIXELS), f"at least -{OUTSIDE:g} pixels")
    before, known = len(rows), policy.total
    rows, key = _sort_and_deduplicate(rows, clips)
    repeats = before - len(rows) - (policy.total - known)
    sizes = _frame_sizes(rows, clips, key, key_frames, layout)
    scaled = _scale(rows, clips, sizes)
    if not all((part >= 0).all() and (part <= 1).all() for part in scaled):
        rows = _drop_outside_frame(rows, clips, sizes)
        scaled = [np.clip(part, 0, 1) for part in _scale(rows, clips, sizes)]
    table = pa.table(
        {
            "video_id": pa.DictionaryArray.from_arrays(clip_places(rows, clips), clips["video_id"].combine_chunks()),
            "frame": rows.numbers("frame_id").astype(np.int16),
            "person_id": rows.numbers("person_id"),
            **dict(zip(BOX, scaled, strict=True)),
        }
    )
    if assumed := int((sizes.how == ASSUMPTION).sum()):
        warnings.warn(
            f"the frame size of {assumed} clips is unknown: they have no key frame to infer it from and no video file "
            f"to read it from; {ASSUMED[0]}x{ASSUMED[1]} is assumed",
            stacklevel=3,
        )
    return table, sizes, {"box_rows": raw, "box_repeats": repeats, **sizes.counts()}


def clip_places(rows: CsvRows, clips: pa.Table) -> np.ndarray:
    """Return the place of each row's clip in the table ``clips``, -1 if the clip is unknown."""
    if rows.places is None:
        codes, ids = rows.codes("video_id")
        places = pc.fill_null(pc.index_in(ids, value_set=clips["video_id"].combine_chunks()), -1)
        rows.places = np.asarray(places, dtype=np.int32)[codes]
    return rows.places


def drop_unknown_clips(rows: CsvRows, clips: pa.Table, what: str) -> CsvRows:
    return rows.drop(clip_places(rows, clips) < 0, f"{what} of a clip that is not in actions.csv", "video_id")


def drop_bad_frames(rows: CsvRows, column: str) -> CsvRows:
    frame = rows.numbers(column)
    return rows.drop((frame < 0) | (frame > MAX_FRAME), f"the frame number is not in 0..{MAX_FRAME}", column)


def drop_bad_boxes(rows: CsvRows, names: tuple[str, ...], limits: tuple[float, float], inside: str) -> CsvRows:
    """Drop boxes that are not finite, outside the limits, have swapped corners or no area."""
    low, high = limits
    x1, y1, x2, y2 = (rows.numbers(name) for name in names)
    # Almost all files pass all checks at once (a comparison with nan is false).
    if ((x1 >= low) & (y1 >= low) & (x1 < x2) & (y1 < y2) & (x2 <= high) & (y2 <= high)).all():
        return rows
    finite = np.isfinite(x1) & np.isfinite(y1) & np.isfinite(x2) & np.isfinite(y2)
    rows = rows.drop(~finite, "the box has a coordinate that is not a finite number", *names)
    x1, y1, x2, y2 = (rows.numbers(name) for name in names)
    rows = rows.drop((x1 >= x2) | (y1 >= y2), "the box has swapped corners or no area", *names)
    x1, y1, x2, y2 = (rows.numbers(name) for name in names)
    outside = (x1 < low) | (y1 < low) | (x2 > high) | (y2 > high)
    return rows.drop(outside, f"the box is outside the frame ({inside})", *names)


def _sort_and_deduplicate(rows: CsvRows, clips: pa.Table) -> tuple[CsvRows, np.ndarray]:
    """Return the distinct rows sorted by clip, person and frame, and these three as one ascending number per row.

    A second, different box of one person in one frame is a fault; the first row is kept.
    """
    person = clip_places(rows, clips).astype(np.int64) << 20 | rows.numbers("person_id")
    key = person << 15 | rows.numbers("frame_id")
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


def _frame_sizes(rows: CsvRows, clips: pa.Table, key: np.ndarray, key_frames: pa.Table, layout: Layout) -> FrameSizes:
    """Infer the frame sizes from the boxes that are in both files: in pixels here, normalized in the key frames."""
    ids = clips["video_id"].combine_chunks()
    wanted = person_keys(key_frames, ids) << 15 | key_frames["frame"].to_numpy()
    spot = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
    hit = np.flatnonzero(key[spot] == wanted) if len(key) else np.zeros(0, dtype=np.int64)
    pixels = np.stack([rows.numbers(column)[spot[hit]] for column in CORNERS], axis=1)
    normalized = np.stack([key_frames[column].to_numpy()[hit] for column in BOX], axis=1)
    needed = np.zeros(len(clips), dtype=bool)
    needed[clip_places(rows, clips)] = True
    source = np.asarray(clips["source"].combine_chunks().dictionary_encode().indices)

    def size_in_header(place: int) -> tuple[int, int] | None:
        if layout.videos is None:
            return None
        clip = clips.slice(place, 1).to_pylist()[0]
        path = clip_path(layout.videos, clip["domain"], clip["source"], clip["video_id"])
        try:
            return read_frame_size(path) if inside(path, layout.allowed) else None
        except ClipError:
            return None

    return infer_frame_sizes(wanted[hit] >> 35, pixels, normalized, source, needed, size_in_header)


def _scale(rows: CsvRows, clips: pa.Table, sizes: FrameSizes) -> list[np.ndarray]:
    """Return x1, y1, x2, y2 as fractions of the frame."""
    across, down = ((1.0 / np.maximum(sizes.size[:, axis], 1))[clip_places(rows, clips)] for axis in (0, 1))
    parts = [np.empty(len(rows), dtype=np.float32) for _ in CORNERS]
    for i, column in enumerate(CORNERS):
        np.multiply(rows.numbers(column), down if i % 2 else across, out=parts[i], casting="same_kind")
    return parts


def _drop_outside_frame(rows: CsvRows, clips: pa.Table, sizes: FrameSizes) -> CsvRows:
    clip = clip_places(rows, clips)
    x1, y1, x2, y2 = (rows.numbers(column) for column in CORNERS)
    width, height = sizes.size[clip].T
    within = (x2 <= width + OUTSIDE) & (y2 <= height + OUTSIDE) & (x1 < width) & (y1 < height) & (x2 > 0) & (y2 > 0)
    if within.all():
        return rows
    first = np.argmin(within)
    hint = f"the frame is {width[first]}x{height[first]}; at most {OUTSIDE:g} pixel past its border is allowed"
    return rows.drop(~within, "the box is outside the frame", "video_id", *CORNERS, hint=hint)
