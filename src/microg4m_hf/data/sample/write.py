"""The sample's files, named and laid out as the release is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ...storage import write_atomic
from ...taxonomy import ACTIONS, RELEASED_GROUPS
from .cabin import frame_width
from .render import Box, box
from .texts import caption, questions
from .world import Figure, Scene


def clip_path(scene: Scene) -> Path:
    """Where a clip lies below the folder of the release."""
    return Path("videos", scene.domain, scene.source, f"{scene.video_id}.mp4")


def write_annotations(folder: Path, scenes: Sequence[Scene], height: int) -> None:
    """Everything but the clips."""
    people = [(scene, figure) for scene in scenes for figure in scene.figures]
    actions = [
        (scene.video_id, scene.domain[0], figure.person_id, action)
        for scene, figure in people
        for action in figure.action_ids
    ]
    boxes = [
        (scene.video_id, frame, figure.person_id, *box(scene, figure, frame - 1, height))
        for scene, figure in people
        for frame in range(figure.first_frame, figure.last_frame + 1)
    ]
    texts = [
        {"video_id": scene.video_id, "caption": caption(scene), "qa_pairs": questions(scene)}
        for scene in scenes
        if scene.domain == "real"  # the release captions real footage only
    ]
    _table(folder / "annotation_files/actions.csv", actions, "video_id,movie_or_real,person_id,action")
    _table(folder / "annotation_files/bounding_boxes.csv", boxes, "video_id,frame_id,person_id,xmin,ymin,xmax,ymax")
    write_atomic(folder / "vqa_and_captioning.json", json.dumps(texts, indent=2, ensure_ascii=False) + "\n")
    write_atomic(folder / "label_map/label_map.pbtxt", _label_map())
    _train_ready(folder / "train_ready", people, height)


def _train_ready(folder: Path, people: list[tuple[Scene, Figure]], height: int) -> None:
    """The AVA-style key-frame files: no header; predicted boxes repeat once per label, without the label."""
    rows = [
        (
            scene.split,
            (scene.video_id, figure.key_frame, *_normalised(box(scene, figure, figure.key_frame - 1, height), height)),
            action,
            figure.person_id,
        )
        for scene, figure in people
        for action in figure.action_ids
    ]
    _table(folder / "ava_all.csv", [(*key, action, person) for _, key, action, person in rows])
    for split, name in (("train", "ava_train"), ("val", "ava_val_gt"), ("test", "ava_test_gt")):
        _table(folder / f"{name}.csv", [(*key, action, person) for own, key, action, person in rows if own == split])
    for split in ("val", "test"):
        predicted = [(*key, "", 1) for own, key, _, _ in rows if own == split]
        _table(folder / f"ava_{split}_predicted_boxes.csv", predicted)


def _normalised(pixels: Box, height: int) -> tuple[float, float, float, float]:
    width = frame_width(height)
    xmin, ymin, xmax, ymax = pixels
    return round(xmin / width, 3), round(ymin / height, 3), round(xmax / width, 3), round(ymax / height, 3)


def _table(path: Path, rows: Iterable[tuple[object, ...]], header: str | None = None) -> None:
    lines = [] if header is None else [header]
    lines += [",".join(str(value) for value in row) for row in rows]
    write_atomic(path, "".join(f"{line}\n" for line in lines))


def _label_map() -> str:
    released = {group: name for name, group in RELEASED_GROUPS.items()}
    return "\n".join(
        f'item {{\n  name: "{action.name}"\n  id: {action.action_id}\n  label_type: {released[action.group]}\n}}\n'
        for action in ACTIONS
    )


# Frames to an H.264 file, one thread, so that the same library makes the same bytes.


def write_clip(path: Path, frames: Iterable[NDArray[np.uint8]], *, fps: int, preset: str = "veryfast") -> None:
    """Encode RGB frames as yuv420p H.264 in an mp4 whose index stands in front."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": "23", "preset": preset, "threads": "1"}
        for picture in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
