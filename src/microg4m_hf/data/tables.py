"""The rows of each config as Arrow tables, one per split, in exactly the form that ``datasets`` stores."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError, SourceError
from .features import features_of
from .release.actions import LABEL_OF_ID, person_keys
from .release.bounding_boxes import BOX
from .release.clip_files import check_clip_files
from .release.faults import ErrorPolicy, Fault
from .release.key_frames import SPLITS
from .release.layout import Layout
from .release.release import Release, read_release
from .release.texts import UNANSWERABLE
from .request import Request
from .splits import split_of

CLIP_FIELDS = [("video_id", pa.string()), ("source", pa.string()), ("clip_index", pa.int32()), ("domain", pa.string())]
PERSON = pa.struct(
    [
        ("person_id", pa.int32()),
        ("actions", pa.list_(pa.int64())),
        ("repeated_actions", pa.list_(pa.int64())),
        ("key_frame", pa.int32()),
        ("key_box", pa.list_(pa.float32())),
        ("frames", pa.list_(pa.int16())),
        ("boxes", pa.list_(pa.list_(pa.float32()))),
    ]
)
HAR_SCHEMA = pa.schema([*CLIP_FIELDS, ("persons", pa.list_(PERSON))])


@dataclass(frozen=True)
class SplitTables:
    """A table for each split, and a sentence about the rows that were left out (empty if there are none)."""

    tables: dict[str, pa.Table]
    left_out: str = ""


def build_tables(request: Request, root: Path) -> SplitTables:
    """Read the release in ``root`` and return the rows of each split, in the columns and types of the features."""
    release = read_release(root, need={request.config}, on_error=request.on_error)
    policy = ErrorPolicy(request.on_error)
    table = _TABLE_OF[request.config](release, domain=request.domain)
    if request.videos:
        table = _add_videos(table, release.layout, policy)
    by_split = {"test": table}
    if request.split_scheme:
        by_split = _divide(table, split_of(release, request.split_scheme), request.split_scheme, policy)
    left_out = _describe([*release.problems, *policy.faults], release.counts["faults"] + policy.total)
    return SplitTables({split: _as_stored(rows, request) for split, rows in by_split.items()}, left_out)


def caption_table(release: Release, domain: str | None = None) -> pa.Table:
    """Return one row per caption: the clip's columns and ``caption``; sorted by clip."""
    return _join_clips(release, release.captions, domain, ["caption"])


def vqa_table(release: Release, domain: str | None = None) -> pa.Table:
    """Return one row per question: the clip's columns, ``question_id``, ``question``, ``answer``, ``answerable``."""
    table = _join_clips(release, release.questions, domain, ["question_id", "question", "answer"])
    answerable = pc.invert(pc.starts_with(table["answer"], pattern=UNANSWERABLE))
    return table.append_column("answerable", answerable)


def _join_clips(release: Release, texts: pa.Table | None, domain: str | None, columns: list[str]) -> pa.Table:
    if texts is None:
        raise DataError("captions and questions were not read", hint='use read_release(root, need={"caption"})')
    place = pc.index_in(texts["video_id"], value_set=release.clips["video_id"].combine_chunks())
    order = pa.array(np.argsort(place.to_numpy(), kind="stable"))
    table = release.clips.take(place.take(order))
    for column in columns:
        table = table.append_column(column, texts[column].take(order).combine_chunks())
    if domain is not None:
        table = table.filter(pc.equal(table["domain"], domain))
    return table.combine_chunks()


def har_table(release: Release, *, domain: str | None = None) -> pa.Table:
    """Return one row per clip, in ``HAR_SCHEMA``; built with array operations, without a loop over persons.

    Rows are sorted by ``video_id``, persons by ``person_id``, actions and frames in ascending order. ``actions`` are
    packed labels 0..49, each once; ``repeated_actions`` has a label again for each further time that the released file
    lists it, which the published numbers count. A person without a box has no key frame (null) and empty ``key_box``,
    ``frames`` and ``boxes``. A person with boxes but without labels has no actions and no key frame. Boxes are x1, y1,
    x2, y2 as fractions of the frame.

    Args:
        release: A release that was read with ``need={"har"}``.
        domain: Keep only clips of this domain.
    """
    clips = release.clips
    if domain is not None:
        clips = clips.filter(pc.equal(clips["domain"], domain))
    ids = clips["video_id"].combine_chunks()
    label_key, label = _labels_by_person(release.labels, ids)
    repeat_key, repeat = _labels_by_person(release.repeats, ids)
    frame_key, key_row = _by_person(release.key_frames, ids, np.arange(len(release.key_frames)))
    box_key, frames, corners = _boxes_by_person(release, ids)

    run_starts = np.flatnonzero(np.diff(box_key, prepend=-1))
    runs = box_key[run_starts]
    persons = np.union1d(label_key, runs)
    boxes_of_person = np.zeros(len(persons), dtype=np.int64)
    boxes_of_person[np.searchsorted(persons, runs)] = np.diff(np.append(run_starts, len(box_key)))
    track_offsets = _int32(np.cumsum([0, *boxes_of_person]))
    ends = np.append(persons, np.iinfo(np.int64).max)
    action_offsets, repeat_offsets = np.searchsorted(label_key, ends), np.searchsorted(repeat_key, ends)

    place = np.searchsorted(persons, frame_key)
    known = np.flatnonzero(np.isin(frame_key, persons))
    key_frame = np.full(len(persons), -1, dtype=np.int32)
    key_frame[place[known]] = release.key_frames["frame"].to_numpy()[key_row[known]]
    has_key = key_frame >= 0
    key_box = np.zeros((len(persons), 4), dtype=np.float32)
    key_box[place[known]] = np.stack([release.key_frames[name].to_numpy() for name in BOX], axis=1)[key_row[known]]

    boxes = pa.ListArray.from_arrays(_int32(np.arange(0, 4 * len(frames) + 1, 4)), pa.array(corners.reshape(-1)))
    columns = [
        pa.array((persons & 0xFFFFF).astype(np.int32)),
        pa.ListArray.from_arrays(_int32(action_offsets), pa.array(label)),
        pa.ListArray.from_arrays(_int32(repeat_offsets), pa.array(repeat)),
        pa.array(key_frame, mask=~has_key),
        pa.ListArray.from_arrays(_int32(np.cumsum([0, *(4 * has_key)])), pa.array(key_box[has_key].reshape(-1))),
        pa.ListArray.from_arrays(track_offsets, pa.array(frames)),
        pa.ListArray.from_arrays(track_offsets, boxes),
    ]
    structs = pa.StructArray.from_arrays(columns, fields=list(PERSON))
    person_offsets = np.searchsorted(persons >> 20, np.arange(len(ids) + 1))
    lists = pa.ListArray.from_arrays(_int32(person_offsets), structs)
    return pa.table([*(clips[name].combine_chunks() for name, _ in CLIP_FIELDS), lists], schema=HAR_SCHEMA)


def _by_person(table: pa.Table, ids: pa.Array, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the person key and the value of each row, without the rows of clips that are not in ``ids``."""
    key = person_keys(table, ids)
    return key[key >= 0], values[key >= 0]


def _labels_by_person(table: pa.Table, ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the person key and the packed label of each row, sorted by both."""
    key, label = _by_person(table, ids, LABEL_OF_ID[table["action_id"].to_numpy()])
    order = np.lexsort((label, key))
    return key[order], label[order]


def _boxes_by_person(release: Release, ids: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return person key, frame and corners of every box, in the order of the rows."""
    boxes = release.boxes
    if boxes is None or not len(boxes):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int16), np.zeros((0, 4), dtype=np.float32)
    key = person_keys(boxes, ids)
    if (key < 0).any():
        boxes, key = boxes.filter(pa.array(key >= 0)), key[key >= 0]
    corners = np.stack([boxes[name].to_numpy() for name in BOX], axis=1, dtype=np.float32)
    return key, boxes["frame"].to_numpy(), corners


def _int32(offsets: np.ndarray) -> pa.Array:
    return pa.array(offsets.astype(np.int32))


_TABLE_OF: dict[str, Callable[..., pa.Table]] = {"har": har_table, "caption": caption_table, "vqa": vqa_table}


def _add_videos(table: pa.Table, layout: Layout, policy: ErrorPolicy) -> pa.Table:
    """Add a column ``video``; the clip of every row must exist and be a complete mp4 file."""
    if layout.videos is None:
        where = f"{layout.root} contains no clips (a folder videos/ with movie/ and real/)"
        raise SourceError(f"{where}; use videos=False to load the annotations alone")
    # Check each clip once, even if it has many rows.
    names = table["video_id"].combine_chunks().dictionary_encode()
    first = np.unique(names.indices.to_numpy(), return_index=True)[1]
    clips = table.select(["video_id", "source", "domain"]).take(pa.array(first))
    try:
        left_out = check_clip_files(layout, clips, policy)
    except DataError as error:
        hint = "on_error='skip' leaves such clips out, videos=False needs no clip"
        raise DataError(error.problem, file=error.file, value=error.value, hint=hint) from None
    # The same paths as those of `clip_path`, for thousands of clips at once.
    file_names = pc.binary_join_element_wise(clips["video_id"], pa.scalar("mp4"), ".")
    folder = pa.scalar(os.fspath(layout.videos))
    paths = pc.binary_join_element_wise(folder, clips["domain"], clips["source"], file_names, "/")
    paths = paths.combine_chunks().take(names.indices)
    references = pa.StructArray.from_arrays([pa.nulls(len(table), pa.binary()), paths], names=["bytes", "path"])
    table = table.append_column("video", references)
    return table.filter(pa.array(~left_out).take(names.indices)) if left_out.any() else table


def _divide(table: pa.Table, split_of_clip: Mapping[str, str], scheme: str, policy: ErrorPolicy) -> dict[str, pa.Table]:
    clips = pa.array(list(split_of_clip), pa.string())
    place = pc.index_in(table["video_id"], value_set=clips)
    splits = pa.array(list(split_of_clip.values()), pa.string()).take(place.combine_chunks())
    for video_id in table.filter(pc.is_null(splits))["video_id"].unique().to_pylist():
        reason = f"the scheme {scheme!r} puts this clip in no split"
        policy.report("the release", None, video_id, reason, hint="use scheme='source_disjoint'")
    return {split: table.filter(pc.equal(splits, split)) for split in SPLITS}


def _as_stored(table: pa.Table, request: Request) -> pa.Table:
    """Return exactly the columns and types of the features, so that ``datasets`` writes the table without a cast."""
    schema = features_of(request.config, videos=request.videos).arrow_schema
    columns = [
        table[field.name] if table[field.name].type == field.type else table[field.name].cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema).combine_chunks()


def _describe(faults: list[Fault], count: int) -> str:
    if not count:
        return ""
    more = f"; and {count - 5} more" if count > 5 else ""
    return f"{count} faults were left out of the dataset: {'; '.join(map(str, faults[:5]))}{more}"
