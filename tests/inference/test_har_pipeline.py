"""``pipeline("microg4m-har")``: from a video file and boxes to named actions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import pipeline

from microg4m_hf import models
from microg4m_hf.data import open_clip
from microg4m_hf.errors import ClipError, ModelError
from microg4m_hf.models.processing import MicroG4MHarProcessor
from tests.support.videos import pictures, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A clip, and its frames as they are decoded."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_video(path, pictures(40))
    with open_clip(path) as clip:
        return path, clip.frames(range(len(clip)))


def test_the_pipeline_names_what_every_person_does(video: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = models.create("tiny_slow").eval()
    model.save_pretrained(tmp_path)
    boxes = [[0.1, 0.1, 0.5, 0.9], [0.4, 0.0, 1.0, 1.0]]
    pipe = pipeline("microg4m-har", model=str(tmp_path), device="cpu")
    people = pipe(str(video[0]), boxes=boxes, center=20, top_k=3)
    assert [person["box"] for person in people] == boxes
    inputs = MicroG4MHarProcessor.for_model(model.config)(video[1][[4, 12, 20, 28]], boxes=boxes)
    with torch.inference_mode():
        scores = model(**inputs).logits.sigmoid()
    for person, row in zip(people, scores, strict=True):
        best = row.topk(3)
        assert [a["label"] for a in person["actions"]] == [model.config.id2label[int(i)] for i in best.indices]
        assert [a["score"] for a in person["actions"]] == pytest.approx(best.values.tolist(), abs=1e-6)
    several = pipe([{"video": str(video[0]), "boxes": boxes, "center": 20}, {"video": video[1], "boxes": boxes[:1]}])
    assert [len(people) for people in several] == [2, 1]
    assert several[0][0]["actions"][:3] == people[0]["actions"]
    assert pipe(video[1], boxes=boxes, threshold=0.99) == [{"box": box, "actions": []} for box in boxes]
    with pytest.raises(ModelError, match="no boxes given"):
        pipe(str(video[0]))
    with pytest.raises(TypeError, match="boxes, center, top_k and threshold"):
        pipe(str(video[0]), boxes=boxes, topk=3)


def test_files_that_are_no_videos_are_named(tmp_path: Path) -> None:
    models.create("tiny_slow").save_pretrained(tmp_path / "model")
    pipe = pipeline("microg4m-har", model=str(tmp_path / "model"), device="cpu")
    (tmp_path / "text.mp4").write_text("not a video")
    for name in ("none.mp4", "text.mp4"):
        with pytest.raises(ClipError, match=name):
            pipe(str(tmp_path / name), boxes=[[0.1, 0.1, 0.5, 0.9]])
