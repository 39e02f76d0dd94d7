"""One row per clip for the ``har`` config: persons with their actions, key frame and track, built without a loop."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .actions import LABEL_OF_ID
from .release import Release

PERSON = pa.struct(
    [
        ("person_id", pa.int32()),
        ("actions", pa.list_(pa.int64())),
        ("key_frame", pa.int32()),
        ("key_box", pa.list_(pa.float32())),
        ("frames", pa.list_(pa.int16())),
        ("boxes", pa.list_(pa.list_(pa.float32()))),
    ]
)
HAR_SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("source", pa.string()),
        ("clip_index", pa.int32()),
        ("domain", pa.string()),
        ("persons", pa.list_(PERSON)),
    ]
)
_BOX = ("x1", "y1", "x2", "y2")


def har_table(release: Release, *, domain: str | None = None) -> pa.Table:
    """Rows of ``HAR_SCHEMA`` sorted by ``video_id``; persons by ``person_id``; actions and frames ascending.

    ``actions`` are packed labels 0..49. A person without a box has no key frame (null) and empty ``key_box``,
    ``frames`` and ``boxes``. A person whom ``bounding_boxes.csv`` shows and nobody labelled has no actions and no
    key frame. Boxes are x1, y1, x2, y2 in parts of the frame.
    """
    clips = release.clips
    if domain is not None:
        clips = clips.filter(pc.equal(clips["domain"], domain))
    ids = clips["video_id"].combine_chunks()
    label_key, label = _keys(release.labels, ids, LABEL_OF_ID[release.labels["action_id"].to_numpy()])
    order = np.lexsort((label, label_key))
    label_key, label = label_key[order], label[order]
    frame_key, key_row = _keys(release.key_frames, ids, np.arange(len(release.key_frames)))
    box_key, frames, corners = _tracks(release, ids, all_clips=domain is None)

    run_starts = np.flatnonzero(np.diff(box_key, prepend=-1))
    runs = box_key[run_starts]
    persons = np.union1d(label_key, runs)
    track_offsets = _offsets(persons, runs, np.diff(np.append(run_starts, len(box_key))))
    action_offsets = np.searchsorted(label_key, np.append(persons, np.iinfo(np.int64).max))

    place = np.searchsorted(persons, frame_key)
    known = np.flatnonzero(np.isin(frame_key, persons))
    key_frame = np.full(len(persons), -1, dtype=np.int32)
    key_frame[place[known]] = release.key_frames["frame"].to_numpy()[key_row[known]]
    has_key = key_frame >= 0
    key_box = np.zeros((len(persons), 4), dtype=np.float32)
    for i, name in enumerate(_BOX):
        key_box[place[known], i] = release.key_frames[name].to_numpy()[key_row[known]]

    boxes = pa.ListArray.from_arrays(_int32(np.arange(0, 4 * len(frames) + 1, 4)), pa.array(corners.reshape(-1)))
    columns = [
        pa.array((persons & 0xFFFFF).astype(np.int32)),
        pa.ListArray.from_arrays(_int32(action_offsets), pa.array(label)),
        pa.array(key_frame, mask=~has_key),
        pa.ListArray.from_arrays(_int32(np.cumsum([0, *(4 * has_key)])), pa.array(key_box[has_key].reshape(-1))),
        pa.ListArray.from_arrays(_int32(track_offsets), pa.array(frames)),
        pa.ListArray.from_arrays(_int32(track_offsets), boxes),
    ]
    structs = pa.StructArray.from_arrays(columns, fields=list(PERSON))
    person_offsets = np.searchsorted(persons >> 20, np.arange(len(ids) + 1))
    lists = pa.ListArray.from_arrays(_int32(person_offsets), structs)
    columns = [clips[name].combine_chunks() for name in HAR_SCHEMA.names[:4]]
    return pa.table([*columns, lists], schema=HAR_SCHEMA)


def _keys(table: pa.Table, ids: pa.Array, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Clip and person of each row as one number, with values beside; rows of other clips are left out."""
    place = pc.fill_null(pc.index_in(table["video_id"].combine_chunks(), value_set=ids), -1).to_numpy()
    key = place.astype(np.int64) << 20 | table["person_id"].to_numpy()
    here = place >= 0
    return key[here], *(value[here] for value in values)


def _tracks(release: Release, ids: pa.Array, *, all_clips: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clip and person, frame, and corners of every box, in the order of the rows to be."""
    boxes = release.boxes
    if boxes is None or not len(boxes):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int16), np.zeros((0, 4), dtype=np.float32)
    codes = boxes["video_id"].combine_chunks()
    if not all_clips:
        place_of_code = pc.fill_null(pc.index_in(codes.dictionary, value_set=ids), -1).to_numpy()
        clip = place_of_code[codes.indices.to_numpy()]
        boxes, clip = boxes.filter(pa.array(clip >= 0)), clip[clip >= 0]
    else:
        clip = codes.indices.to_numpy()
    corners = np.empty((len(boxes), 4), dtype=np.float32)
    for i, name in enumerate(_BOX):
        corners[:, i] = boxes[name].to_numpy()
    key = clip.astype(np.int64) << 20 | boxes["person_id"].to_numpy()
    return key, boxes["frame"].to_numpy(), corners


def _offsets(persons: np.ndarray, runs: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(persons), dtype=np.int64)
    counts[np.searchsorted(persons, runs)] = lengths
    return np.cumsum([0, *counts])


def _int32(offsets: np.ndarray) -> pa.Array:
    return pa.array(offsets.astype(np.int32))
