"""Everything that is wrong in a release, in one list."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ClipError, MicroG4MError
from .release.actions import check_label_map
from .release.bounding_boxes import BOX
from .release.clip_files import check_clip_files, clip_path
from .release.faults import ErrorPolicy
from .release.frame_size import ASSUMED
from .release.key_frames import derive_key_frames, read_predicted_boxes
from .release.layout import Layout, find_layout
from .release.release import Release, read_release
from .split_report import clips_without_place
from .video.probe import read_frame_size

# Tracks against key frames and clips: the comparisons that only a check makes, as they cost a look at every clip.

# A key box has three decimals, a pixel box may be rounded to whole pixels.
_KEY_BOX_ROUNDING = 0.0005


def compare_boxes(release: Release, policy: ErrorPolicy) -> list[str]:
    """Compares tracks with key frames and with the clips; faults go to ``faults``, the rest is told."""
    boxes, layout = release.boxes, release.layout
    assert boxes is not None and release.frame_sizes is not None and layout.boxes is not None
    notes = []
    counts = release.counts
    if counts["box_repeats"]:
        notes.append(f"{counts['box_repeats']} of {counts['box_rows']} boxes only repeat another")
    if counts["frame_sizes_from_assumed"]:
        assumed = f"{ASSUMED[0]}x{ASSUMED[1]}"
        notes.append(f"the frame size of {counts['frame_sizes_from_assumed']} clips is not known, {assumed} is assumed")
    extra = persons_of(boxes) - persons_of(release.labels)
    if extra:
        names = sorted(f"{video_id} person {person}" for video_id, person in extra)
        notes.append(f"{len(extra)} persons have boxes and no label: {few(names)}")
    notes += _compare_with_tracks(release, policy)
    if layout.videos is not None:
        _compare_with_headers(release, policy)
    return notes


def _compare_with_tracks(release: Release, policy: ErrorPolicy) -> list[str]:
    """A key box must be the person's box in that frame; whether the median rule gives the frame is only told."""
    boxes, key_frames, sizes = release.boxes, release.key_frames, release.frame_sizes
    assert boxes is not None and sizes is not None and release.layout.boxes is not None
    if not release.layout.has_key_frames:
        return []
    ids = release.clips["video_id"].combine_chunks()

    def keys(table: pa.Table, codes: np.ndarray) -> np.ndarray:
        return (codes.astype(np.int64) << 20 | table["person_id"].to_numpy()) << 15 | table["frame"].to_numpy()

    track = keys(boxes, boxes["video_id"].combine_chunks().indices.to_numpy())
    clip = np.asarray(pc.index_in(key_frames["video_id"], value_set=ids))
    key = keys(key_frames, clip)
    spot = np.minimum(np.searchsorted(track, key), max(len(track) - 1, 0))
    there = track[spot] == key if len(track) else np.zeros(len(key), dtype=bool)
    allowed = _KEY_BOX_ROUNDING + 1 / np.maximum(np.stack([sizes["width"], sizes["height"]] * 2, axis=1), 1)
    released = np.stack([key_frames[name].to_numpy() for name in BOX], axis=1)[there]
    shown = np.stack([boxes[name].to_numpy() for name in BOX], axis=1)[spot[there]]
    off = np.flatnonzero((np.abs(released - shown) > allowed[clip[there]]).any(axis=1))
    places = np.flatnonzero(there)[off]
    for place, box in zip(places.tolist(), shown[off].tolist(), strict=True):
        row = key_frames.slice(place, 1).to_pylist()[0]
        value = {**row, "track": [round(part, 3) for part in box]}
        policy.report(release.layout.name(release.layout.boxes), None, value, "the key box is not the box of the track")
    notes = []
    if not there.all():
        notes.append(f"{int((~there).sum())} of {len(there)} key frames are in no track")
    rule = keys(derived := derive_key_frames(boxes, release.labels), np.asarray(
        pc.index_in(derived["video_id"], value_set=ids)))  # fmt: skip
    notes.append(f"the median rule gives {int(np.isin(key, rule).sum())} of {len(key)} released key frames")
    return notes


def _compare_with_headers(release: Release, policy: ErrorPolicy) -> None:
    assert release.frame_sizes is not None and release.layout.videos is not None
    sizes = release.frame_sizes
    for clip, width, height in zip(release.clips.to_pylist(), sizes["width"].to_pylist(), sizes["height"].to_pylist(),
                                   strict=True):  # fmt: skip
        path = clip_path(release.layout.videos, clip["domain"], clip["source"], clip["video_id"])
        try:
            found = read_frame_size(path) if width else None
        except ClipError:
            continue  # a missing or broken clip is a fault of its own
        if found and found != (width, height):
            reason = f"the clip is {found[0]}x{found[1]}, its boxes are of"
            policy.report(release.layout.name(path), None, f"{width}x{height}", reason)


def persons_of(table: pa.Table) -> set[tuple[str, int]]:
    pairs = pa.table({"video_id": table["video_id"].cast(pa.string()), "person_id": table["person_id"]})
    pairs = pairs.group_by(pairs.column_names, use_threads=False).aggregate([])
    return set(zip(pairs["video_id"].to_pylist(), pairs["person_id"].to_pylist(), strict=True))


def few(names: list[str], limit: int = 10) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def check(root: str | os.PathLike[str]) -> dict[str, Any]:
    """Read every file of a release and list all policy, each with file, line and value; and what is odd, but right.

    ``faults`` counts them all, ``problems`` lists up to a thousand of each kind and file, ``notes`` says in words
    what is accepted as released, and which files there are not.
    """
    layout = find_layout(root)
    policy = ErrorPolicy("skip")
    notes: list[str] = []
    release = _attempt(lambda: read_release(layout, need=(), on_error="skip"), layout, policy)
    if release is not None:
        _adopt(release, policy, None)
        if layout.label_map is not None:
            label_map = layout.label_map
            _attempt(lambda: check_label_map(label_map, name=layout.name(label_map)), layout, policy)
        for need, path in (("har", layout.boxes), ("caption", layout.texts)):
            if path is not None:
                whole = _attempt(lambda need=need: _part(layout, need), layout, policy)  # type: ignore[misc]
                if whole is not None:
                    _adopt(whole, policy, layout.name(path))
                    notes += compare_boxes(whole, policy) if need == "har" else _notes_of_texts(whole)
        for path in (layout.val_predicted_boxes, layout.test_predicted_boxes):
            if path is not None:
                _attempt(lambda path=path: _predicted(path, layout, release, policy), layout, policy)  # type: ignore[misc]
        if layout.videos is not None:
            check_clip_files(layout, release.clips, policy, deep=True)
        notes = _notes(layout, release) + notes
    return {
        "root": str(layout.root),
        "faults": policy.total,
        "problems": [
            {"file": at.file, "line": at.line, "value": _plain(at.value), "reason": at.reason, "text": str(at)}
            for at in policy.faults
        ],
        "notes": notes,
    }


def _plain(value: object) -> object:
    """A value that JSON can say: nan, infinity and half characters become text."""
    return value if value is None or (isinstance(value, str) and value.isprintable()) else repr(value)


def _part(layout: Layout, need: str) -> Release:
    """One part of a release; a label map that is wrong is reported once, elsewhere."""
    return read_release(Layout(**{**layout.__dict__, "label_map": None}), need={need}, on_error="skip")


def _attempt(read: Callable[[], Any], layout: Layout, policy: ErrorPolicy) -> Any:
    """What ``read`` gives; ``None``, and a fault, for a file that cannot be read at all."""
    try:
        return read()
    except MicroG4MError as error:
        file = getattr(error, "file", None) or getattr(error, "filename", None) or layout.root
        reason = getattr(error, "problem", None) or str(error)
        policy.report(str(file), getattr(error, "line", None), getattr(error, "value", None), reason)
        return None


def _adopt(release: Release, policy: ErrorPolicy, file: str | None) -> None:
    """Take over the faults of one file, or of all that were read."""
    policy.faults += [problem for problem in release.problems if file is None or problem.file == file]
    policy.by_reason.update({key: count for key, count in release.faults_of.items() if file is None or key[0] == file})


def _predicted(path: Path, layout: Layout, release: Release, policy: ErrorPolicy) -> None:
    """Predicted boxes must be the ground-truth boxes of their split: the benchmark gives every model the same."""
    name = layout.name(path)
    boxes = read_predicted_boxes(path, release.clips, policy, name=name)
    known = set(zip(*(release.key_frames[column].to_pylist() for column in ("video_id", "frame", *BOX)), strict=True))
    for row in zip(*(boxes[column].to_pylist() for column in ("video_id", "frame", *BOX)), strict=True):
        if row not in known:
            policy.report(name, None, row, "a predicted box that is no key box of the ground truth")


def _notes(layout: Layout, release: Release) -> list[str]:
    counts = release.counts
    fields = ("boxes", "label_map", "texts", "ava_train", "ava_val", "ava_test", "videos")
    notes = [f"no {name}: {layout.wanted(name)} is not here" for name in fields if getattr(layout, name) is None]
    notes += [f"the link {link} leads out of the folder and was not followed" for link in layout.refused_links]
    if counts["label_repeats"]:
        notes.append(f"{counts['label_repeats']} of {counts['label_rows']} label rows only repeat another")
    lost = clips_without_place(release)
    if lost:
        notes.append(f"{len(lost)} clips are in no official split file and count as train: {few(lost)}")
    if len(release.key_frames):
        bare = persons_of(release.labels) - persons_of(release.key_frames)
        names = sorted(f"{video_id} person {person}" for video_id, person in bare)
        if names:
            notes.append(f"{len(names)} persons have labels and no key box, so cannot be scored: {few(names)}")
    return notes


def _notes_of_texts(release: Release) -> list[str]:
    assert release.captions is not None
    names = release.captions["video_id"].to_pylist()
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    notes = [f"{len(twice)} clips have more than one caption: {few(twice)}"] if twice else []
    if release.counts["question_repeats"]:
        notes.append(f"{release.counts['question_repeats']} questions only repeat another of their clip")
    return notes
