"""A work folder of `microg4m curate` with tracks, and clips where they are needed, as its stages leave it."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

from microg4m_hf.clip_ids import source_of
from microg4m_hf.curate.protocols import CurateSettings
from microg4m_hf.curate.reviews import Box
from microg4m_hf.curate.work import SETTINGS, SOURCES, Source, Work, item_id, write_sources
from microg4m_hf.data import ensure_sample


def work_folder(folder: Path, tracks: dict[str, dict[int, list[Box]]], size: tuple[int, int] = (640, 480)) -> Path:
    """Write the tracks of some clips and return the folder."""
    (folder / "tracks").mkdir(parents=True, exist_ok=True)
    for video_id, people in tracks.items():
        rows = [
            [box.frame, number, *box.corners, box.score, box.interpolated]
            for number, boxes in people.items()
            for box in boxes
        ]
        record = {"video_id": video_id, "width": size[0], "height": size[1], "boxes": rows}
        (folder / "tracks" / f"{video_id}.json").write_text(json.dumps(record))
    return folder


def walker(first: int, last: int, x: float = 10.1, *, step: float = 1 / 3) -> list[Box]:
    """A person who walks from frame ``first`` to ``last``; every fifth box is interpolated."""
    return [
        Box(frame, x + step * frame, 20.7, x + step * frame + 55.3, 200.9, 0.25 + frame / 200, frame % 5 == 0)
        for frame in range(first, last + 1)
    ]


def work_of_sample(folder: Path, count: int = 12) -> Work:
    """Return a work folder with clips of the sample, as if they had been cut, measured, and tracked.

    The filter drops the last clip, because a detector would have been sure of nobody in it. Clips with two persons come
    first, so that there is something to merge.
    """
    boxes: dict[str, dict[int, list[Box]]] = {}
    with next(ensure_sample().rglob("bounding_boxes.csv")).open(newline="") as stream:
        for row in csv.DictReader(stream):
            corners = [float(row[side]) for side in ("xmin", "ymin", "xmax", "ymax")]
            box = Box(int(row["frame_id"]), *corners, 0.9)  # type: ignore[arg-type]
            boxes.setdefault(row["video_id"], {}).setdefault(int(row["person_id"]), []).append(box)
    files = {path.stem: path for path in (ensure_sample() / "videos").rglob("*.mp4") if path.stem in boxes}
    names = sorted(files, key=lambda name: (-len(boxes[name]), name))[:count]
    work_folder(folder, {name: boxes[name] for name in names}, (256, 144))
    settings = CurateSettings()
    settings.save(folder / SETTINGS)
    of_source: dict[str, list[str]] = {}
    for name in sorted(names):
        of_source.setdefault(source_of(name), []).append(name)
    sources = [Source(name, f"/films/{name}.mp4", f"{name:0>64}", "real", "CC0-1.0") for name in of_source]
    write_sources(folder / SOURCES, sources)
    work = Work(folder)
    clips = {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in names}
    for source in sources:
        (folder / "clips" / source.source).mkdir(parents=True)
        for name in of_source[source.source]:
            work.clip_path(source.source, name).symlink_to(files[name])
    cut = {
        item_id(source.source, source.sha256): [
            {"id": name, "sha256": clips[name], "width": 256, "height": 144} for name in of_source[source.source]
        ]
        for source in sources
    }
    shot = {"cuts": [], "brightness": 90.0, "change": 4.0}
    shots = {
        item_id(name, clips[name]): [{**shot, "hash": hashlib.sha256(name.encode()).hexdigest()[:48]}] for name in names
    }
    people = {
        item_id(name, clips[name]): [{"sha256": clips[name], "best_scores": [0.9 if name != names[-1] else 0.3] * 90}]
        for name in names
    }
    for stage, results in (("cut", cut), ("shots", shots), ("people", people)):
        with work.journal(stage) as journal:
            for item, result in results.items():
                journal.add({"id": item, "status": "ok", "result": result})
    return work
