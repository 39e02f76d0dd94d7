"""A work folder of `microg4m curate` with tracks, and clips where they are needed, as its stages leave it."""

from __future__ import annotations

import json
from pathlib import Path

from microg4m_hf.curate.reviews import Box


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
