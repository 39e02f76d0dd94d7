"""``AutoVideoProcessor`` and transformers' own ``pipeline("video-classification")``."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoVideoProcessor, BaseVideoProcessor, pipeline

from microg4m_hf import models
from microg4m_hf.data import open_clip
from microg4m_hf.models.processing import MicroG4MHarProcessor
from tests.support.videos import pictures, write_video
from tests.support.warm_python import warm_python

BOXES = [[0.1, 0.1, 0.5, 0.9], [0.4, 0.0, 1.0, 1.0]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """A clip of 40 frames, and its frames as they are decoded."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_video(path, pictures(40))
    with open_clip(path) as opened:
        return str(path), opened.frames(range(len(opened)))


def test_pixels_and_boxes_are_those_of_the_library(clip: tuple[str, np.ndarray], tmp_path: Path) -> None:
    path, frames = clip
    processor = MicroG4MHarProcessor(num_frames=4, sampling_rate=8, shortest_edge=32, crop_edge=24)
    processor.save_pretrained(tmp_path)
    models.config_of("tiny_slow").save_pretrained(tmp_path)
    video_processor = AutoVideoProcessor.from_pretrained(tmp_path)
    assert isinstance(video_processor, BaseVideoProcessor)
    # The last frame is a key frame whose window reaches past the end, so its border frames repeat.
    for center in (None, 0, 39):
        expected = processor(frames, boxes=BOXES, center=center)
        for video in (path, frames, frames.transpose(0, 3, 1, 2), [Image.fromarray(frame) for frame in frames]):
            actual = video_processor(video, boxes=BOXES, center=center)
            assert torch.equal(actual["pixel_values"], expected["pixel_values"])
            assert torch.equal(actual["boxes"][0], expected["boxes"][0])
    several = video_processor([path, frames], boxes=[BOXES, BOXES[:1]], return_tensors="pt")
    assert several["pixel_values"].shape == (2, 3, 4, 24, 24)
    assert [len(boxes) for boxes in several["boxes"]] == [2, 1]


def test_settings_can_be_saved_and_loaded(tmp_path: Path) -> None:
    models.create("tiny_slow").save_pretrained(tmp_path)
    first = AutoVideoProcessor.from_pretrained(tmp_path, shortest_edge=48)
    first.save_pretrained(tmp_path)
    again = AutoVideoProcessor.from_pretrained(tmp_path)
    assert (again.num_frames, again.sampling_rate, again.shortest_edge, again.crop_edge) == (4, 8, 48, None)


def test_the_pipeline_of_transformers_scores_the_whole_frame(
    clip: tuple[str, np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model = models.create("tiny_slow").eval()
    model.save_pretrained(tmp_path)
    path, frames = clip
    classify = pipeline("video-classification", model=str(tmp_path), device="cpu")
    found = classify(path, top_k=3, function_to_apply="sigmoid")
    inputs = MicroG4MHarProcessor.for_model(model.config)(frames, boxes=[[0, 0, 1, 1]])
    with torch.inference_mode():
        best = model(**inputs).logits[0].sigmoid().topk(3)
    assert [entry["label"] for entry in found] == [model.config.id2label[int(i)] for i in best.indices]
    assert [entry["score"] for entry in found] == pytest.approx(best.values.tolist(), abs=1e-6)
    assert len(classify([path, path])) == 2
    assert "not supported" not in caplog.text


@pytest.mark.parametrize(
    "first", ["microg4m_hf.models.processing", "microg4m_hf.inference.video_processor", "transformers.pipelines"]
)
def test_the_processor_is_registered_whatever_is_imported_first(first: str) -> None:
    """transformers imports its tables in the middle of our imports, and the other way round."""
    code = f"""
import importlib
import microg4m_hf
importlib.import_module({first!r})
from transformers.models.auto.video_processing_auto import video_processor_class_from_name
print(video_processor_class_from_name("MicroG4MHarVideoProcessor")().num_frames)
"""
    ran = subprocess.run([warm_python(), "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and ran.stdout.strip().isdecimal(), ran.stderr[-2000:]
