"""Count what a release contains, for ``microg4m data stats``."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError
from .release.actions import persons_of
from .release.key_frames import SPLITS
from .release.layout import FILE_NAMES, find_layout
from .release.release import Release, read_release
from .release.texts import UNANSWERABLE
from .split_report import clips_without_split, scheme_report
from .splits import SCHEMES


def stats(root: str | os.PathLike[str], scheme: str | None = None) -> dict[str, Any]:
    """Count clips, persons, labels, boxes, key frames, captions, questions, repeats, splits and leaks.

    Args:
        root: A folder with the released files.
        scheme: Report on the splits of this scheme only; by default on those of both.

    Returns:
        The counts by name. Faulty rows are left out and counted under ``faults``; ``check`` lists them.

    Raises:
        DataError: If a file cannot be read, or ``scheme`` does not exist or does not fit the release.
    """
    layout = find_layout(root)
    need = {"har", "caption"} if layout.texts else {"har"}
    release = read_release(layout, need=need, on_error="skip")
    paths = {name: getattr(layout, name) for name in [*FILE_NAMES, "videos"]}
    schemes: dict[str, Any] = {}
    for name in [scheme] if scheme else SCHEMES:
        try:
            schemes[name] = scheme_report(release, name)
        except DataError as error:
            if scheme:
                raise
            schemes[name] = {"scheme": name, "error": str(error)}
    return {
        "root": str(layout.root),
        "files": {name: None if path is None else layout.name(path) for name, path in paths.items()},
        **_count_persons(release),
        **_count_key_frames(release),
        **_count_texts(release),
        "counts": release.counts,
        "faults": release.counts["faults"],
        "clips_without_official_place": clips_without_split(release),
        "schemes": schemes,
    }


def _count_persons(release: Release) -> dict[str, Any]:
    labels, clips, counts = release.labels, release.clips, release.counts
    place = pc.index_in(labels["video_id"], value_set=clips["video_id"].combine_chunks())
    domain = clips["domain"].take(place)
    clips_of = {name: clips.filter(pc.equal(clips["domain"], name)) for name in ("real", "movie")}
    labels_of = {name: labels.filter(pc.equal(domain, name)) for name in ("real", "movie")}
    labels_of_person = Counter(zip(labels["video_id"].to_pylist(), labels["person_id"].to_pylist(), strict=True))
    persons, with_boxes = set(labels_of_person), set() if release.boxes is None else persons_of(release.boxes)
    without_box = sorted(persons - with_boxes - persons_of(release.key_frames))
    per_clip = Counter(Counter(video_id for video_id, _ in persons).values())
    return {
        "clips": len(clips),
        "clips_of_domain": _count_values(clips["domain"]),
        "sources": len(clips["source"].unique()),
        "sources_of_domain": {name: len(table["source"].unique()) for name, table in clips_of.items()},
        "label_rows": counts["label_rows"],
        "label_rows_of_domain": {name: counts[f"label_rows_{name}"] for name in labels_of},
        "label_repeats": counts["label_repeats"],
        "labels": len(labels),
        "labels_of_domain": {name: len(table) for name, table in labels_of.items()},
        "labels_without_box": sum(labels_of_person[person] for person in without_box),
        "classes": len(labels["action_id"].unique()),
        "classes_of_domain": {name: len(table["action_id"].unique()) for name, table in labels_of.items()},
        "persons": len(persons),
        "persons_with_box": len(persons) - len(without_box),
        "persons_without_box": [f"{video_id} person {number}" for video_id, number in without_box],
        "persons_without_label": len(with_boxes - persons),
        "persons_per_clip": {str(size): per_clip[size] for size in sorted(per_clip)},
        "most_labels_of_a_person": max(labels_of_person.values(), default=0),
        "boxes": 0 if release.boxes is None else len(release.boxes),
        "box_repeats": counts.get("box_repeats", 0),
    }


def _count_key_frames(release: Release) -> dict[str, Any]:
    def frames(table: pa.Table) -> set[tuple[str, int]]:
        return set(zip(table["video_id"].to_pylist(), table["frame"].to_pylist(), strict=True))

    official: dict[str, dict[str, int]] = {}
    if release.official is not None:
        clips = _count_values(release.official)
        for split in SPLITS:
            boxes = release.key_frames.filter(pc.equal(release.key_frames["split"], split))
            key_frames = len(frames(boxes))
            official[split] = {"clips": clips.get(split, 0), "key_frames": key_frames, "key_boxes": len(boxes)}
    of_clip = Counter(video_id for video_id, _ in frames(release.key_frames))
    return {
        "key_boxes": len(release.key_frames),
        "key_frames": sum(of_clip.values()),
        "clips_with_several_key_frames": sum(count > 1 for count in of_clip.values()),
        "key_frame_rows": {name: count for name, count in release.counts.items() if name.startswith("ava_")},
        "official": official,
    }


def _count_texts(release: Release) -> dict[str, Any]:
    if release.captions is None or release.questions is None:
        return {}
    entries = _count_values(release.captions["video_id"])
    sizes = {name.split("_")[2]: n for name, n in release.counts.items() if name.startswith("entries_with_")}
    is_unanswerable = pc.starts_with(release.questions["answer"], pattern=UNANSWERABLE)
    return {
        "captions": len(release.captions),
        "clips_with_caption": len(entries),
        "clips_with_two_captions": [video_id for video_id, count in entries.items() if count > 1],
        "questions": len(release.questions),
        "questions_per_entry": sizes,
        "questions_not_mentioned": pc.sum(is_unanswerable).as_py() or 0,
    }


def _count_values(column: pa.ChunkedArray | pa.Array) -> dict[str, int]:
    return dict(sorted(Counter(value for value in column.to_pylist() if value is not None).items()))
