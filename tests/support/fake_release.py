"""Make releases for tests from a seed, or at full size from the released key frames, without the library's own code.

Each function returns what it wrote, so that a test can compare it with what the library reads.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.support.videos import write_video

ACTION_IDS = [1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 14, 17, 20, 22, 24, 26, 27, 28, 29, 30, 34, 36, 38, 41, 43]
ACTION_IDS += [45, 46, 47, 48, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 72, 74, 76, 78, 79, 80]
SIZES = ((854, 480), (640, 480), (720, 480))
FOLDERS = {
    "authors": {"actions.csv": "annotation_files", "bounding_boxes.csv": "annotation_files", "ava": "train_ready"},
    "flat": {},
}


@dataclass
class Person:
    actions: list[int]
    frames: list[int] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)  # pixels

    @property
    def key(self) -> int:
        """The annotated frame closest to the median of the frames, the first of equals."""
        middle = float(np.median(self.frames))
        return min(self.frames, key=lambda frame: (abs(frame - middle), frame))


@dataclass
class Clip:
    video_id: str
    domain: str
    size: tuple[int, int]
    split: str
    persons: dict[int, Person] = field(default_factory=dict)

    def key_box(self, person: int) -> list[float]:
        """Return the key box as released: fractions of the frame, three decimals."""
        who = self.persons[person]
        box = who.boxes[who.frames.index(who.key)]
        return [round(value / self.size[i % 2], 3) for i, value in enumerate(box)]


@dataclass
class FakeRelease:
    root: Path
    clips: dict[str, Clip]
    texts: list[dict]
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def source_of(self) -> dict[str, str]:
        return {video_id: video_id.rpartition("_")[0] for video_id in self.clips}


def make_release(
    root: Path,
    *,
    seed: int = 0,
    sources: int = 6,
    clips: int = 5,
    layout: str = "flat",
    boxes: bool = True,
    ava: bool = True,
    texts: bool = True,
    decimals: int = 2,
    sizes: tuple[tuple[int, int], ...] = SIZES,
) -> FakeRelease:
    """Write a release of ``sources`` x ``clips`` clips; the first third of the sources are movies."""
    rng = np.random.default_rng(seed)
    made: dict[str, Clip] = {}
    for source in range(sources):
        domain = "movie" if source < max(sources // 3, 1) else "real"
        name = f"Film{source}" if domain == "movie" else f"-v{source}_Ab"
        for index in np.sort(rng.choice(4 * clips, clips, replace=False)).tolist():
            split = ("train", "validation", "test")[int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
            clip = Clip(f"{name}_{index:03d}", domain, sizes[source % len(sizes)], split)
            for person in range(1, int(rng.integers(1, 4)) + 1):
                clip.persons[person] = _person(rng, clip.size, decimals)
            made[clip.video_id] = clip
    entries = [_text(rng, clip.video_id) for clip in made.values() if clip.domain == "real"] if texts else []
    release = FakeRelease(root, made, entries)
    write_release(release, layout=layout, boxes=boxes, ava=ava, seed=seed)
    return release


def _person(rng: np.random.Generator, size: tuple[int, int], decimals: int) -> Person:
    actions = sorted(rng.choice(ACTION_IDS[:12], int(rng.integers(1, 4)), replace=False).tolist())
    frames = np.sort(rng.choice(np.arange(1, 91), int(rng.integers(3, 12)), replace=False)).tolist()
    boxes = []
    for _ in frames:
        x1, y1 = rng.uniform(0, 0.5, 2)
        x2, y2 = rng.uniform(0.55, 1, 2)
        corners = np.array([x1, y1, x2, y2]) * [*size, *size]
        boxes.append(tuple(float(min(round(v, decimals), size[i % 2])) for i, v in enumerate(corners.tolist())))
    return Person(actions, frames, boxes)


def _text(rng: np.random.Generator, video_id: str) -> dict:
    pairs = [{"Q": f"Question {n} of {video_id}?", "A": f"Answer {n}."} for n in range(int(rng.integers(5, 8)))]
    pairs[-1]["A"] = "Not mentioned."
    return {"video_id": video_id, "caption": f"What {video_id} shows.", "qa_pairs": pairs}


def write_release(release: FakeRelease, *, layout: str, boxes: bool, ava: bool, seed: int = 0) -> None:
    """Write all files of a release, rows in random order, as the released key-frame files are not sorted either."""
    rng = np.random.default_rng(seed + 1)
    order = [list(release.clips.values())[i] for i in rng.permutation(len(release.clips))]
    rows = [
        [clip.video_id, clip.domain[0], person, action]
        for clip in order
        for person, who in clip.persons.items()
        for action in who.actions
    ]
    _write(release, layout, "actions.csv", [["video_id", "movie_or_real", "person_id", "action"], *rows])
    if boxes:
        header = ["video_id", "frame_id", "person_id", "xmin", "ymin", "xmax", "ymax"]
        rows = [
            [clip.video_id, frame, person, *box]
            for clip in order
            for person, who in clip.persons.items()
            for frame, box in zip(who.frames, who.boxes, strict=True)
        ]
        _write(release, layout, "bounding_boxes.csv", [header, *rows])
    if ava:
        names = {"train": "train", "validation": "val_gt", "test": "test_gt"}
        everything = []
        for split, name in names.items():
            rows = [row for clip in order if clip.split == split for row in ava_rows(clip)]
            everything += rows
            _write(release, layout, f"ava_{name}.csv", rows)
            if split != "train":
                predicted = [[*row[:6], "", 1] for row in rows]
                _write(release, layout, f"ava_{name.replace('gt', 'predicted_boxes')}.csv", predicted)
        _write(release, layout, "ava_all.csv", everything)
    if release.texts:
        path = release.root / "vqa_and_captioning.json"
        path.write_text(json.dumps(release.texts, indent=2, ensure_ascii=False), encoding="utf-8")
        release.files[path.name] = path


def ava_rows(clip: Clip) -> list[list]:
    return [
        [clip.video_id, who.key, *clip.key_box(person), action, person]
        for person, who in clip.persons.items()
        if who.frames
        for action in who.actions
    ]


def _write(release: FakeRelease, layout: str, name: str, rows: list[list]) -> None:
    places = FOLDERS[layout]
    folder = release.root / places.get("ava" if name.startswith("ava") else name, "")
    folder.mkdir(parents=True, exist_ok=True)
    release.files[name] = folder / name
    with open(folder / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def put_clips(release: FakeRelease, size_of: Mapping[str, tuple[int, int]] | None = None) -> Path:
    """Write the file of every clip below ``videos/``: one encoded frame per size, linked under each name.

    ``size_of`` gives sources another frame size than the clip states.
    """
    made: dict[tuple[int, int], Path] = {}
    for video_id, clip in release.clips.items():
        source = release.source_of[video_id]
        width, height = size_of[source] if size_of else clip.size
        target = release.root / "videos" / clip.domain / source / f"{video_id}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        if (width, height) in made:
            os.link(made[width, height], target)
        else:
            made[width, height] = write_video(target, count=1, size=(height, width))
    return release.root / "videos"


def full_size_boxes(ava_all: Path, target: Path, *, rows: int = 390_000, seed: int = 0) -> dict[str, tuple[int, int]]:
    """Write a ``bounding_boxes.csv`` of full size that fits released key frames, and return each source's frame size.

    Every person has a track of consecutive frames in 1..90 for which the median rule selects the released key frame,
    with the key box at that frame and boxes that move around it elsewhere.
    """
    rng = np.random.default_rng(seed)
    keys: dict[tuple[str, int], tuple[int, list[float]]] = {}
    with open(ava_all, newline="") as file:
        for video_id, frame, x1, y1, x2, y2, _, person in csv.reader(file):
            keys[video_id, int(person)] = int(frame), [float(value) for value in (x1, y1, x2, y2)]
    sources = sorted({video_id.rpartition("_")[0] for video_id, _ in keys})
    size_of = {source: SIZES[int(rng.choice(3, p=[0.8, 0.1, 0.1]))] for source in sources}
    order = sorted(keys)
    longest = np.array([2 * min(keys[who][0] - 1, 90 - keys[who][0]) + 1 for who in order])
    length = _lengths(longest, rows)
    with open(target, "w", newline="") as file:
        file.write("video_id,frame_id,person_id,xmin,ymin,xmax,ymax\n")
        for who, frames in zip(order, length.tolist(), strict=True):
            video_id, person = who
            key, box = keys[who]
            width, height = size_of[video_id.rpartition("_")[0]]
            start = key - (frames - 1) // 2
            corners = np.array(box) * [width, height, width, height] + rng.normal(0, 3, (frames, 4)).cumsum(axis=0)
            corners[key - start] = np.array(box) * [width, height, width, height]
            corners = np.clip(corners, 0, [width, height, width, height])
            flat = (corners[:, 2:] - corners[:, :2] < 1).any(axis=1)
            corners[flat] = corners[key - start]
            lines = (
                f"{video_id},{start + i},{person},{a:.2f},{b:.2f},{c:.2f},{d:.2f}\n"
                for i, (a, b, c, d) in enumerate(corners.tolist())
            )
            file.writelines(lines)
    return size_of


def _lengths(longest: np.ndarray, rows: int) -> np.ndarray:
    """Return a length for each track, at most its longest, that add up to ``rows``."""
    if longest.sum() < rows:
        raise ValueError(f"these key frames allow {longest.sum()} boxes, {rows} were requested")
    level = next(level for level in range(1, 91) if np.minimum(longest, level).sum() >= rows)
    length = np.minimum(longest, level)
    surplus = np.flatnonzero(length == level)[: length.sum() - rows]
    length[surplus] -= 1
    return length
