"""List everything that is wrong in a release, for ``microg4m data check``.

Besides the checks of reading, this compares boxes with key frames and with the video files, which only a check does
because it opens every clip.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import ClipError, MicroG4MError, list_some
from .check_clips import check_archive, check_clips, find_last_frames
from .orientation import COLUMNS, read_orientations
from .release.actions import check_label_map, person_keys, persons_of
from .release.bounding_boxes import BOX
from .release.clip_files import check_clip_files, clip_path
from .release.faults import ErrorPolicy
from .release.frame_size import ASSUMED
from .release.key_frames import derive_key_frames, read_predicted_boxes
from .release.layout import Layout, find_layout
from .release.release import Release, read_release
from .split_report import clips_without_split
from .video.probe import read_frame_size

# A key box has three decimals; a pixel box may be rounded to whole pixels.
_KEY_BOX_ROUNDING = 0.0005


def check(root: str | os.PathLike[str], *, decode: bool = False, workers: int | None = None) -> dict[str, Any]:
    """Read every file of a release and list all faults, each with file, line and value.

    Args:
        root: A folder with the released files.
        decode: Also decode every frame of every clip.
        workers: How many processes decode; by default one for each processor.

    Returns:
        ``faults``, the number of all faults; ``problems``, up to a thousand faults of each kind and file; ``notes``,
        sentences about oddities that are accepted and about files that are missing.

    Raises:
        SourceError: If ``root`` is not a folder or has no ``actions.csv``.
    """
    layout = find_layout(root)
    policy = ErrorPolicy("skip")
    notes: list[str] = []
    release = _attempt(partial(read_release, layout, need=(), on_error="skip"), layout, policy)
    if release is not None:
        _add_faults(release, policy)
        if layout.label_map is not None:
            _attempt(partial(check_label_map, layout.label_map, name=layout.name(layout.label_map)), layout, policy)
        last_frames = find_last_frames(release)
        others = replace(layout, label_map=None)  # so that a fault of the label map is reported once
        for need, path in (("har", layout.boxes), ("caption", layout.texts)):
            if path is None:
                continue
            part = _attempt(partial(read_release, others, need=need, on_error="skip"), layout, policy)
            if part is not None:
                _add_faults(part, policy, layout.name(path))
                notes += _compare_boxes(part, policy) if need == "har" else _text_notes(part)
                if need == "har" and layout.orientation is not None:
                    _attempt(partial(_check_orientation, layout.orientation, part, policy), layout, policy)
                last_frames |= find_last_frames(part) if need == "har" else {}
        for path in filter(None, (layout.val_predicted_boxes, layout.test_predicted_boxes)):
            _attempt(partial(_check_predicted_boxes, path, release, policy), layout, policy)
        if layout.videos is not None:
            unreadable = check_clip_files(layout, release.clips, policy, deep=True)
            readable = release.clips.filter(pa.array(~unreadable))
            notes += check_clips(layout, readable, last_frames, policy, decode=decode, workers=workers)
        elif layout.archive is not None:
            notes += _attempt(partial(check_archive, layout, release.clips, policy), layout, policy) or []
        notes = _release_notes(layout, release) + notes
    return {
        "root": str(layout.root),
        "faults": policy.total,
        "problems": [
            {**fault._asdict(), "value": _as_json(fault.value), "text": str(fault)} for fault in policy.faults
        ],
        "notes": notes,
    }


def _attempt(read: Callable[[], Any], layout: Layout, policy: ErrorPolicy) -> Any:
    """Return what ``read`` returns; report a file that cannot be read at all, and return ``None``."""
    try:
        return read()
    except MicroG4MError as error:
        file = getattr(error, "file", None) or getattr(error, "filename", None) or layout.root
        reason = getattr(error, "problem", None) or str(error)
        policy.report(str(file), getattr(error, "line", None), getattr(error, "value", None), reason)
        return None


def _add_faults(release: Release, policy: ErrorPolicy, file: str | None = None) -> None:
    """Add the faults of one file of a release, or of all files that were read."""
    policy.faults += [fault for fault in release.problems if file in (None, fault.file)]
    policy.by_reason.update({key: count for key, count in release.faults_of.items() if file in (None, key[0])})


def _as_json(value: object) -> object:
    """Return a value that JSON can represent; nan, infinity and lone surrogates become text."""
    return value if value is None or (isinstance(value, str) and value.isprintable()) else repr(value)


def _compare_boxes(release: Release, policy: ErrorPolicy) -> list[str]:
    """Compare boxes with key frames and with the headers of the clips; report faults and return notes."""
    boxes, counts = release.boxes, release.counts
    assert boxes is not None and release.frame_sizes is not None
    notes = []
    if counts["box_repeats"]:
        notes.append(f"{counts['box_repeats']} of {counts['box_rows']} boxes only repeat another")
    if counts["frame_sizes_from_assumed"]:
        assumed = f"{ASSUMED[0]}x{ASSUMED[1]}"
        notes.append(f"the frame size of {counts['frame_sizes_from_assumed']} clips is unknown, {assumed} is assumed")
    if extra := _name_persons(persons_of(boxes) - persons_of(release.labels)):
        notes.append(f"{len(extra)} persons have boxes and no label: {list_some(extra, 10)}")
    if release.layout.has_key_frames:
        notes += _compare_key_boxes(release, policy)
    if release.layout.videos is not None:
        _compare_headers(release, policy)
    return notes


def _compare_key_boxes(release: Release, policy: ErrorPolicy) -> list[str]:
    """Report key boxes that differ from the person's box in that frame; note how many frames the median rule gives."""
    boxes, key_frames, sizes, layout = release.boxes, release.key_frames, release.frame_sizes, release.layout
    assert boxes is not None and sizes is not None and layout.boxes is not None
    ids = release.clips["video_id"].combine_chunks()

    def keys(table: pa.Table) -> np.ndarray:
        return person_keys(table, ids) << 15 | table["frame"].to_numpy()

    track, key = keys(boxes), keys(key_frames)
    spot = np.minimum(np.searchsorted(track, key), max(len(track) - 1, 0))
    is_there = track[spot] == key if len(track) else np.zeros(len(key), dtype=bool)
    tolerance = _KEY_BOX_ROUNDING + 1 / np.maximum(np.stack([sizes["width"], sizes["height"]] * 2, axis=1), 1)
    released = np.stack([key_frames[name].to_numpy() for name in BOX], axis=1)[is_there]
    shown = np.stack([boxes[name].to_numpy() for name in BOX], axis=1)[spot[is_there]]
    differs = np.flatnonzero((np.abs(released - shown) > tolerance[key[is_there] >> 35]).any(axis=1))
    for place, box in zip(np.flatnonzero(is_there)[differs].tolist(), shown[differs].tolist(), strict=True):
        row = key_frames.slice(place, 1).to_pylist()[0]
        value = {**row, "track": [round(part, 3) for part in box]}
        policy.report(layout.name(layout.boxes), None, value, "the key box differs from the person's box in that frame")
    missing = [f"{int((~is_there).sum())} of {len(key)} key frames have no box"] if not is_there.all() else []
    by_rule = int(np.isin(key, keys(derive_key_frames(boxes, release.labels))).sum())
    rule = [f"the median rule gives {by_rule} of {len(key)} released key frames"] if len(key) else []
    return [*missing, *rule]


def _compare_headers(release: Release, policy: ErrorPolicy) -> None:
    assert release.frame_sizes is not None and release.layout.videos is not None
    for clip, size in zip(release.clips.to_pylist(), release.frame_sizes.to_pylist(), strict=True):
        path = clip_path(release.layout.videos, clip["domain"], clip["source"], clip["video_id"])
        width, height = size["width"], size["height"]
        try:
            found = read_frame_size(path) if width else None
        except ClipError:
            continue  # a missing or broken clip is a fault of its own
        if found and found != (width, height):
            reason = f"the clip is {found[0]}x{found[1]}, its boxes are for"
            policy.report(release.layout.name(path), None, f"{width}x{height}", reason)


def _check_predicted_boxes(path: Path, release: Release, policy: ErrorPolicy) -> None:
    """Report predicted boxes that are not key boxes of the ground truth: the benchmark gives all models the same."""
    columns = ("video_id", "frame", *BOX)
    boxes = read_predicted_boxes(path, release.clips, policy, name=release.layout.name(path))
    known = set(zip(*(release.key_frames[column].to_pylist() for column in columns), strict=True))
    for row in zip(*(boxes[column].to_pylist() for column in columns), strict=True):
        if row not in known:
            reason = "a predicted box that is not a key box of the ground truth"
            policy.report(release.layout.name(path), None, row, reason)


def _check_orientation(path: Path, release: Release, policy: ErrorPolicy) -> None:
    """Report angles of persons in frames where they have no box."""
    boxes = release.boxes
    assert boxes is not None
    columns = (boxes[name].to_pylist() for name in ("video_id", "frame", "person_id"))
    known = set(zip(*columns, strict=True))
    name = release.layout.name(path)
    for key in sorted(read_orientations(path, name=name).keys() - known):
        policy.report(name, None, dict(zip(COLUMNS, key, strict=False)), "the person has no box in that frame")


def _release_notes(layout: Layout, release: Release) -> list[str]:
    counts = release.counts
    fields = ["boxes", "label_map", "texts", "ava_train", "ava_val", "ava_test"]
    fields += ["videos"] if layout.archive is None else []
    notes = [f"no {name}: {layout.wanted(name)} is not here" for name in fields if getattr(layout, name) is None]
    notes += [f"the link {link} leads out of the folder and was not followed" for link in layout.refused_links]
    if counts["label_repeats"]:
        notes.append(f"{counts['label_repeats']} of {counts['label_rows']} label rows only repeat another")
    if clips := clips_without_split(release):
        notes.append(f"{len(clips)} clips are in no official split file and count as train: {list_some(clips, 10)}")
    lost = _name_persons(persons_of(release.labels) - persons_of(release.key_frames))
    if lost and len(release.key_frames):
        notes.append(f"{len(lost)} persons have labels and no key box, so cannot be scored: {list_some(lost, 10)}")
    return notes


def _text_notes(release: Release) -> list[str]:
    assert release.captions is not None
    notes, names = [], release.captions["video_id"].value_counts().to_pylist()
    if twice := sorted(name["values"] for name in names if name["counts"] > 1):
        notes.append(f"{len(twice)} clips have more than one caption: {list_some(twice, 10)}")
    if release.counts["question_repeats"]:
        notes.append(f"{release.counts['question_repeats']} questions only repeat another of their clip")
    return notes


def _name_persons(persons: set[tuple[str, int]]) -> list[str]:
    return sorted(f"{video_id} person {person}" for video_id, person in persons)
