"""The rows of a config as Arrow tables, one per split, ready to be written as they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError, SourceError
from .features import features_of
from .release.actions import LABEL_OF_ID
from .release.clip_files import check_clip_files
from .release.faults import Faults, Problem
from .release.key_frames import SPLITS
from .release.layout import Layout
from .release.release import Release, read_release
from .release.texts import caption_table, vqa_table
from .request import Request, Whereabouts, with_clips
from .splits import split_of

# One row per clip for the ``har`` config: persons with their actions, key frame and track, built without a loop.

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


_TABLE_OF: dict[str, Callable[..., pa.Table]] = {"har": har_table, "caption": caption_table, "vqa": vqa_table}


@dataclass(frozen=True)
class Rows:
    """A table for each split, and what was left out of them, in words (empty where nothing was)."""

    tables: dict[str, pa.Table]
    left_out: str = ""


def rows_of(request: Request, whereabouts: Whereabouts) -> Rows:
    """Read the release and give each split its rows, with a reference to the clip where clips are wanted."""
    release = read_release(with_clips(request, whereabouts), need={request.config}, on_error=request.on_error)
    faults = Faults(request.on_error)
    table = _TABLE_OF[request.config](release, domain=request.domain)
    if request.videos:
        table = _with_videos(table, release.layout, faults)
    if request.division:
        by_split = _divided(table, split_of(release, request.division), request.division, faults)
    else:
        by_split = {"test": table}
    listed, count = [*release.problems, *faults.problems], release.counts["faults"] + faults.total
    return Rows({split: _as_stored(rows, request) for split, rows in by_split.items()}, _in_words(listed, count))


def _with_videos(table: pa.Table, layout: Layout, faults: Faults) -> pa.Table:
    """The table with a column ``video``; every clip that a row names must be there and be a whole mp4 file."""
    if layout.videos is None:
        raise SourceError(
            f"{layout.root} holds no clips (a folder videos/ with movie/ and real/); "
            "videos=False loads the annotations alone"
        )
    place, clips = _distinct_clips(table)
    try:
        left_out = check_clip_files(layout, clips, faults)
    except DataError as error:
        hint = "on_error='skip' leaves such clips out, videos=False needs no clip"
        raise DataError(error.problem, file=error.file, value=error.value, hint=hint) from None
    folder = pa.scalar(os.fspath(layout.videos))
    names = pc.binary_join_element_wise(clips["video_id"], pa.scalar("mp4"), ".")
    # The place that ``clip_path`` gives, of thousands of clips at once.
    paths = pc.binary_join_element_wise(folder, clips["domain"], clips["source"], names, "/")
    paths = paths.combine_chunks().take(place)
    references = pa.StructArray.from_arrays([pa.nulls(len(table), pa.binary()), paths], names=["bytes", "path"])
    table = table.append_column("video", references)
    return table.filter(pa.array(~left_out).take(place)) if left_out.any() else table


def _distinct_clips(table: pa.Table) -> tuple[pa.Array, pa.Table]:
    """The clip of each row as a place in a table of distinct clips, so that no file is looked at twice."""
    names = table["video_id"].combine_chunks().dictionary_encode()
    first = np.unique(names.indices.to_numpy(), return_index=True)[1]
    return names.indices, table.select(["video_id", "source", "domain"]).take(pa.array(first))


def _divided(table: pa.Table, split_of_clip: Mapping[str, str], scheme: str, faults: Faults) -> dict[str, pa.Table]:
    clips = pa.array(list(split_of_clip), pa.string())
    place = pc.index_in(table["video_id"], value_set=clips)
    splits = pa.array(list(split_of_clip.values()), pa.string()).take(place.combine_chunks())
    for video_id in table.filter(pc.is_null(splits))["video_id"].unique().to_pylist():
        faults.add("the release", None, video_id, f"the scheme {scheme!r} puts this clip in no split")
    return {split: table.filter(pc.equal(splits, split)) for split in SPLITS}


def _as_stored(table: pa.Table, request: Request) -> pa.Table:
    """Exactly the columns and types of the features, so that ``datasets`` writes the table without a cast."""
    schema = features_of(request.config, videos=request.videos).arrow_schema
    columns = [table[field.name] for field in schema]
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema).combine_chunks()


def _in_words(listed: list[Problem], count: int) -> str:
    if not count:
        return ""
    more = f"; and {count - 5} more" if count > 5 else ""
    return f"{count} faults were left out of the data set: {'; '.join(map(str, listed[:5]))}{more}"
