"""The processor: the window around a key frame, the geometry of frames and boxes, saving and loading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from microg4m_hf import models
from microg4m_hf.errors import ModelError
from microg4m_hf.models.processing import MicroG4MHarProcessor, window_indices


@pytest.mark.parametrize(
    ("center", "frames", "rate", "expected"),
    [
        (45, 8, 8, [13, 21, 29, 37, 45, 53, 61, 69]),
        (89, 4, 16, [57, 73, 89, 89]),
        (10, 4, 16, [0, 0, 10, 26]),
        (45, 13, 6, [6, 12, 18, 24, 30, 36, 42, 48, 54, 60, 66, 72, 78]),
    ],
)
def test_the_window_matches_the_published_one(center: int, frames: int, rate: int, expected: list[int]) -> None:
    assert window_indices(center, frames, rate, 90) == expected


def test_whole_frames_and_boxes_follow_the_published_geometry() -> None:
    """480x854 to a short side of 256: the long side is rounded down, and its factor scales all four numbers."""
    processor = MicroG4MHarProcessor.for_model(models.config_of("slow_4x16_r50"))
    clip = np.full((4, 480, 854, 3), 128, np.uint8)
    out = processor(clip, boxes=[[0.25, 0.5, 1.0, 1.0]])
    assert out["pixel_values"].shape == (1, 3, 4, 256, 455)
    assert torch.allclose(out["pixel_values"], torch.tensor((128 / 255 - 0.45) / 0.225))
    factor = 455 / 854
    pixels = out["boxes"][0][0] * torch.tensor([455, 256, 455, 256])
    expected = [0.25 * 854 * factor, 0.5 * 480 * factor, 454, min(480 * factor, 255)]
    assert pixels.tolist() == pytest.approx(expected, abs=1e-3)


def test_a_short_side_of_the_right_length_is_not_resized() -> None:
    clip = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), np.uint8)
    out = MicroG4MHarProcessor(num_frames=4, shortest_edge=32)(clip)
    restored = (out["pixel_values"][0] * 0.225 + 0.45) * 255
    assert np.array_equal(restored.permute(1, 2, 3, 0).round().numpy().astype(np.uint8), clip)


def test_a_crop_moves_boxes_and_clips_them() -> None:
    processor = MicroG4MHarProcessor(num_frames=1, shortest_edge=32, crop_edge=32)
    clip = np.zeros((1, 32, 64, 3), np.uint8)
    clip[:, :, 16:48] = 255
    out = processor(clip, boxes=[[0.25, 0.0, 0.5, 1.0], [0.0, 0.0, 0.2, 0.5]])
    assert out["pixel_values"].shape[3:] == (32, 32) and (out["pixel_values"] > 0).all()
    assert out["boxes"][0].tolist() == [pytest.approx([0, 0, 0.5, 31 / 32]), pytest.approx([0, 0, 0, 0.5])]


def test_windows_are_sampled_around_the_center() -> None:
    clip = np.arange(90, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    processor = MicroG4MHarProcessor(num_frames=4, sampling_rate=2, shortest_edge=32, image_mean=[0] * 3)
    for center, expected in ((50, [46, 48, 50, 52]), (None, [41, 43, 45, 47])):
        pixels = processor(clip, center=center)["pixel_values"][0, 0, :, 0, 0]
        assert (pixels * 255 * 0.225).round().tolist() == expected


@pytest.mark.parametrize(
    ("clip", "boxes", "message"),
    [
        (np.zeros((4, 3, 32, 32), np.uint8), None, r"\(frames, height, width, 3\)"),
        (np.zeros((4, 32, 32, 3), np.float32), None, "uint8"),
        (np.zeros((0, 32, 32, 3), np.uint8), None, "uint8 RGB"),
        ([np.zeros((4, 32, 32, 3), np.uint8)], [], "1 clips need 1 lists of boxes, got 0"),
        ([np.zeros((4, 32, w, 3), np.uint8) for w in (32, 64)], None, "one size"),
    ],
)
def test_invalid_clips_raise_a_clear_error(clip: object, boxes: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        MicroG4MHarProcessor(num_frames=4, shortest_edge=32)(clip, boxes=boxes)


def test_a_saved_processor_can_be_loaded(tmp_path: Path) -> None:
    MicroG4MHarProcessor(num_frames=13, sampling_rate=6, shortest_edge=182, crop_edge=160).save_pretrained(tmp_path)
    again = MicroG4MHarProcessor.from_pretrained(tmp_path)
    assert (again.num_frames, again.sampling_rate, again.shortest_edge, again.crop_edge) == (13, 6, 182, 160)
    assert again.image_std == [0.225] * 3
