"""What is in a release, counted."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError
from .release.layout import Layout, find_layout
from .release.release import Release, read_release
from .release.texts import UNANSWERABLE
from .split_report import clips_without_place, scheme_report

SCHEMES_OF_STATS = ("official", "source_disjoint")


def stats(root: str | os.PathLike[str], scheme: str | None = None) -> dict[str, Any]:
    """Count clips, persons, labels, boxes, key frames, captions, questions, repeats, splits and leaks.

    Faulty rows are left out and counted under ``faults``; ``data check`` lists them. ``scheme`` limits the report
    on the splits to one scheme.
    """
    layout = find_layout(root)
    need = {"har", "caption"} if layout.texts else {"har"}
    release = read_release(layout, need=need, on_error="skip")
    found: dict[str, Any] = {"root": str(layout.root), "files": _files(layout)}
    found |= _people(release) | _key_frames(release) | _texts(release)
    found["counts"] = release.counts
    found["faults"] = release.counts["faults"]
    found["clips_without_official_place"] = clips_without_place(release)
    found["schemes"] = {}
    for name in [scheme] if scheme else SCHEMES_OF_STATS:
        try:
            found["schemes"][name] = scheme_report(release, name)
        except DataError as error:
            if scheme:
                raise
            found["schemes"][name] = {"scheme": name, "error": str(error)}
    return found


def _files(layout: Layout) -> dict[str, str | None]:
    names = [name for name in layout.__dataclass_fields__ if name not in ("root", "refused_links")]
    paths = {name: getattr(layout, name) for name in names}
    return {name: None if path is None else layout.name(path) for name, path in paths.items()}


def _people(release: Release) -> dict[str, Any]:
    labels, clips = release.labels, release.clips
    domain = _of_clip(release, labels["video_id"], "domain")
    person = pa.table({"video_id": labels["video_id"], "person_id": labels["person_id"]})
    persons = person.group_by(person.column_names, use_threads=False).aggregate([([], "count_all")])
    per_clip = Counter(Counter(persons["video_id"].to_pylist()).values())
    keyed = set(zip(*(release.key_frames[name].to_pylist() for name in person.column_names), strict=True))
    boxed = set(keyed)
    unlabelled = 0
    if release.boxes is not None and len(release.boxes):
        tracks = release.boxes.select(person.column_names)
        tracks = tracks.set_column(0, "video_id", tracks["video_id"].cast(pa.string()))
        tracks = tracks.group_by(tracks.column_names, use_threads=False).aggregate([])
        with_track = set(zip(*(tracks[name].to_pylist() for name in person.column_names), strict=True))
        boxed |= with_track
        unlabelled = len(with_track - set(_pairs(persons)))
    without = sorted(set(_pairs(persons)) - boxed)
    lost = set(without)
    return {
        "clips": len(clips),
        "clips_of_domain": _counter(clips["domain"]),
        "sources": len(clips["source"].unique()),
        "sources_of_domain": {
            name: len(clips.filter(pc.equal(clips["domain"], name))["source"].unique()) for name in ("real", "movie")
        },
        "label_rows": release.counts["label_rows"],
        "label_rows_of_domain": {name: release.counts[f"label_rows_{name}"] for name in ("real", "movie")},
        "label_repeats": release.counts["label_repeats"],
        "labels": len(labels),
        "labels_of_domain": {name: int(np.sum(domain == name)) for name in ("real", "movie")},
        "labels_without_box": sum(pair in lost for pair in _pairs(labels)),
        "classes": len(labels["action_id"].unique()),
        "classes_of_domain": {
            name: len(set(labels["action_id"].to_numpy()[domain == name].tolist())) for name in ("real", "movie")
        },
        "persons": len(persons),
        "persons_with_box": len(persons) - len(without),
        "persons_without_box": [f"{video_id} person {number}" for video_id, number in without],
        "persons_without_label": unlabelled,
        "persons_per_clip": {str(size): per_clip[size] for size in sorted(per_clip)},
        "most_labels_of_a_person": max(persons["count_all"].to_pylist(), default=0),
        "boxes": 0 if release.boxes is None else len(release.boxes),
        "box_repeats": release.counts.get("box_repeats", 0),
    }


def _key_frames(release: Release) -> dict[str, Any]:
    frames = Counter(set(zip(release.key_frames["video_id"].to_pylist(), release.key_frames["frame"].to_pylist(),
                             strict=True)))  # fmt: skip
    of_clip = Counter(video_id for video_id, _ in frames)
    rows = {name: release.counts[name] for name in release.counts if name.startswith("ava_")}
    official: dict[str, dict[str, int]] = {}
    if release.official is not None:
        for split in ("train", "validation", "test"):
            inside = release.key_frames.filter(pc.equal(release.key_frames["split"], split))
            pairs = set(zip(inside["video_id"].to_pylist(), inside["frame"].to_pylist(), strict=True))
            official[split] = {
                "clips": _counter(release.official).get(split, 0),
                "key_frames": len(pairs),
                "key_boxes": len(inside),
            }
    return {
        "key_boxes": len(release.key_frames),
        "key_frames": len(frames),
        "clips_with_several_key_frames": sum(count > 1 for count in of_clip.values()),
        "key_frame_rows": rows,
        "official": official,
    }


def _texts(release: Release) -> dict[str, Any]:
    if release.captions is None or release.questions is None:
        return {}
    captions, questions = release.captions, release.questions
    entries = Counter(captions["video_id"].to_pylist())
    not_mentioned = pc.sum(pc.starts_with(questions["answer"], pattern=UNANSWERABLE)).as_py() or 0
    return {
        "captions": len(captions),
        "clips_with_caption": len(entries),
        "clips_with_two_captions": sorted(video_id for video_id, count in entries.items() if count > 1),
        "questions": len(questions),
        "questions_per_entry": {
            name.split("_")[2]: count for name, count in release.counts.items() if name.startswith("entries_with_")
        },
        "questions_not_mentioned": not_mentioned,
    }


def _of_clip(release: Release, video_ids: pa.ChunkedArray, column: str) -> np.ndarray:
    place = pc.index_in(video_ids, value_set=release.clips["video_id"].combine_chunks())
    return release.clips[column].take(place).to_numpy(zero_copy_only=False)


def _pairs(table: pa.Table) -> list[tuple[str, int]]:
    return list(zip(table["video_id"].to_pylist(), table["person_id"].to_pylist(), strict=True))


def _counter(column: pa.ChunkedArray | pa.Array) -> dict[str, int]:
    return dict(sorted(Counter(value for value in column.to_pylist() if value is not None).items()))
