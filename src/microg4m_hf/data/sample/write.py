"""Write the files of the sample, with the names and formats of the release."""

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
from .render import box
from .texts import caption, questions
from .world import Astronaut, Scene


def clip_path(scene: Scene) -> Path:
    """Return the path of a clip inside the folder of the release."""
    return Path("videos", scene.domain, scene.source, f"{scene.video_id}.mp4")


def write_annotations(folder: Path, scenes: Sequence[Scene], height: int) -> None:
    """Write all files except the clips."""
    people = [(scene, astronaut) for scene in scenes for astronaut in scene.astronauts]
    actions = [
        (scene.video_id, scene.domain[0], astronaut.person_id, action)
        for scene, astronaut in people
        for action in astronaut.action_ids
    ]
    boxes = [
        (scene.video_id, frame, astronaut.person_id, *box(scene, astronaut, frame - 1, height))
        for scene, astronaut in people
        for frame in range(astronaut.first_frame, astronaut.last_frame + 1)
    ]
    texts = [
        {"video_id": scene.video_id, "caption": caption(scene), "qa_pairs": questions(scene)}
        for scene in scenes
        if scene.domain == "real"  # the release captions real footage only
    ]
    _write_csv(folder / "annotation_files/actions.csv", actions, "video_id,movie_or_real,person_id,action")
    _write_csv(folder / "annotation_files/bounding_boxes.csv", boxes, "video_id,frame_id,person_id,xmin,ymin,xmax,ymax")
    write_atomic(folder / "vqa_and_captioning.json", json.dumps(texts, indent=2, ensure_ascii=False) + "\n")
    write_atomic(folder / "label_map/label_map.pbtxt", label_map_text())
    _write_key_frames(folder / "train_ready", people, height)


def _write_key_frames(folder: Path, people: list[tuple[Scene, Astronaut]], height: int) -> None:
    """Write the AVA-style key-frame files: no header; predicted boxes repeat once per label, without the label."""
    rows, size = [], (frame_width(height), height) * 2
    for scene, astronaut in people:
        frame = astronaut.key_frame
        pixels = box(scene, astronaut, frame - 1, height)
        key = (scene.video_id, frame, *(round(one / side, 3) for one, side in zip(pixels, size, strict=True)))
        rows += [(scene.split, key, action, astronaut.person_id) for action in astronaut.action_ids]
    _write_csv(folder / "ava_all.csv", [(*key, action, person) for _, key, action, person in rows])
    for split, name in (("train", "ava_train"), ("val", "ava_val_gt"), ("test", "ava_test_gt")):
        labels = [(*key, action, person) for own, key, action, person in rows if own == split]
        _write_csv(folder / f"{name}.csv", labels)
    for split in ("val", "test"):
        predicted = [(*key, "", 1) for own, key, _, _ in rows if own == split]
        _write_csv(folder / f"ava_{split}_predicted_boxes.csv", predicted)


def _write_csv(path: Path, rows: Iterable[tuple[object, ...]], header: str | None = None) -> None:
    lines = [] if header is None else [header]
    lines += [",".join(str(value) for value in row) for row in rows]
    write_atomic(path, "".join(f"{line}\n" for line in lines))


def label_map_text() -> str:
    """Return the content of ``label_map.pbtxt``: the 50 actions in the released spelling."""
    released = {group: name for name, group in RELEASED_GROUPS.items()}
    return "\n".join(
        f'item {{\n  name: "{action.name}"\n  id: {action.action_id}\n  label_type: {released[action.group]}\n}}\n'
        for action in ACTIONS
    )


def write_clip(path: Path, frames: Iterable[NDArray[np.uint8]], *, fps: int, preset: str = "veryfast") -> None:
    """Encode RGB frames as yuv420p H.264 in an mp4 file with the index in front.

    One thread, so that the same library writes the same bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        # With mbtree, x264 writes other bytes from time to time, also in one thread.
        stream.options = {"crf": "23", "preset": preset, "threads": "1", "x264-params": "mbtree=0"}
        for picture in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
