"""The inputs of a model: every allowed form, and a clear error for every other one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from microg4m_hf import models
from microg4m_hf.errors import ModelError
from microg4m_hf.models.registry import TINY

BOXES = [[[0.1, 0.2, 0.6, 0.9]], [], [[0.0, 0.0, 1.0, 1.0], [0.3, 0.3, 0.4, 0.5]]]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return models.create("tiny_slow").eval()


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    return torch.randn(3, 3, 4, 64, 80, generator=torch.Generator().manual_seed(0))


def test_logits_come_person_by_person_in_clip_order(model: Any, clips: torch.Tensor) -> None:
    with torch.inference_mode():
        out = model(pixel_values=clips, boxes=BOXES)
        alone = model(pixel_values=clips[2:], boxes=[[BOXES[2][1]]]).logits
    assert out.logits.shape == (3, 50) and out.loss is None
    assert out.clip_index.tolist() == [0, 2, 2]
    assert torch.allclose(out.logits[2:], alone, atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_a_batch_matches_its_clips_one_by_one(name: str) -> None:
    torch.manual_seed(0)
    model = models.create(name).eval()
    clips = torch.randn(3, 3, TINY[name].num_frames, 64, 80)
    with torch.inference_mode():
        batched = model(pixel_values=clips, boxes=BOXES).logits
        alone = [model(pixel_values=clips[i : i + 1], boxes=[BOXES[i]]).logits for i in range(3)]
    assert torch.allclose(batched, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize("padding", [-1.0, 0.0])
def test_padded_boxes_match_lists(model: Any, clips: torch.Tensor, padding: float) -> None:
    padded = torch.full((3, 2, 4), padding)
    labels = torch.zeros(3, 2, 50)
    for i, rows in enumerate(BOXES):
        for j, row in enumerate(rows):
            padded[i, j] = torch.tensor(row)
            labels[i, j, 3 * i + j] = 1
    flat = torch.stack([labels[0, 0], labels[2, 0], labels[2, 1]])
    with torch.inference_mode():
        expected = model(pixel_values=clips, boxes=BOXES, labels=flat)
        mask = torch.tensor([[True, False], [False, False], [True, True]])
        ragged = [labels[0, :1], [], labels[2]]
        table = torch.cat([torch.tensor([[0.0], [2.0], [2.0]]), torch.cat([padded[0, :1], padded[2]])], 1)
        for output in (
            model(pixel_values=clips, boxes=padded, labels=labels),
            model(pixel_values=clips, boxes=padded, labels=labels, box_mask=mask),
            model(pixel_values=clips, boxes=padded, labels=flat),
            model(pixel_values=clips, boxes=BOXES, labels=ragged),
            model(pixel_values=clips, boxes=table, labels=flat),
        ):
            assert torch.equal(output.logits, expected.logits)
            assert torch.equal(output.loss, expected.loss)
    assert float(expected.loss) == pytest.approx(
        float(torch.nn.functional.binary_cross_entropy_with_logits(expected.logits, flat))
    )


def test_clips_without_people_give_no_rows_and_no_loss(model: Any, clips: torch.Tensor) -> None:
    out = model(pixel_values=clips, boxes=[[], [], []], labels=torch.zeros(0, 50))
    assert out.logits.shape == (0, 50) and out.loss.item() == 0.0
    out.loss.backward()


def test_a_box_without_area_gets_logits(model: Any, clips: torch.Tensor) -> None:
    with torch.inference_mode():
        logits = model(pixel_values=clips[:1], boxes=[[[0.0, 0.2, 0.0, 0.9]]]).logits
    assert logits.shape == (1, 50) and torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": None}, "no boxes given"),
        ({"boxes": [[[0, 0, 1, 1]]]}, "3 clips need 3 lists of boxes, got 1"),
        ({"boxes": [[[12, 20, 60, 70]], [], []]}, r"\[12.0, 20.0, 60.0, 70.0\]: all four numbers must lie in 0..1"),
        ({"boxes": [[[0.5, 0.1, 1.2, 0.3]], [], []]}, "must lie in 0..1"),
        ({"boxes": [[[float("nan")] * 4], [], []]}, "must lie in 0..1"),
        ({"boxes": [[], [[0.5, 0.1, 0.4, 0.3]], []]}, "x1 <= x2"),
        ({"boxes": [[[0.5, 0.1, 0.6]], [], []]}, "give .n, 4."),
        ({"boxes": torch.zeros(3, 4)}, r"padded boxes have shape"),
        ({"boxes": torch.tensor([[3, 0.1, 0.1, 0.5, 0.5]])}, r"clips \[3\], but the batch has 3; count clips from 0"),
        ({"boxes": torch.tensor([[-1, 0.1, 0.1, 0.5, 0.5]])}, r"clips \[-1\], but the batch has 3"),
        ({"frames": 6}, r"takes 4 frames, got 6; sample 4 frames, or build it with num_frames=6"),
        ({"pixel": float("nan")}, "nan or inf"),
        ({"pixel": float("inf")}, "nan or inf"),
        ({"dtype": torch.uint8}, "normalize them first"),
        ({"channels": 4}, r"shape \(B, 3, T, H, W\)"),
        ({"labels": torch.zeros(2, 50)}, r"labels of shape \(2, 50\) for logits of shape \(3, 50\)"),
    ],
)
def test_invalid_input_raises_an_error(model: Any, clips: torch.Tensor, change: dict[str, Any], message: str) -> None:
    clips = clips.clone()
    if "pixel" in change:
        clips[1, 2, 3, 4, 5] = change["pixel"]
    if "frames" in change:
        clips = clips[:, :, [0, 1, 2, 3, 3, 3]]
    if "channels" in change:
        clips = clips[:, [0, 1, 2, 2]]
    clips = clips.to(change.get("dtype", clips.dtype))
    with pytest.raises(ModelError, match=message):
        model(pixel_values=clips, boxes=change.get("boxes", BOXES), labels=change.get("labels"))


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_works_on_the_cpu_too(name: str, dtype: torch.dtype) -> None:
    """Clips are cast to the dtype of the model; regions are pooled in single precision."""
    torch.manual_seed(0)
    model = models.create(name).eval()
    clips = torch.randn(1, 3, TINY[name].num_frames, 64, 64)
    with torch.inference_mode():
        exact = model(pixel_values=clips, boxes=BOXES[:1]).logits
        half = copy.deepcopy(model).to(dtype)
        for pixel_values in (clips, clips.to(dtype)):
            logits = half(pixel_values=pixel_values, boxes=BOXES[:1]).logits
            assert logits.dtype == dtype
            assert (logits.float() - exact).abs().max() < 0.03 * exact.abs().max() + 1e-3


def test_checks_can_be_turned_off(clips: torch.Tensor) -> None:
    model = models.create("tiny_slow", check_inputs=False).eval()
    clips = clips.clone()
    clips[0] = float("nan")
    assert model(pixel_values=clips, boxes=[[[0, 0, 2, 2]], [], []]).logits.isnan().any()


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("x3d", {}, "did you mean x3d"),
        ("x3d_s", {"width": 3}, "no setting 'width'.*width_factor"),
        ("tiny_c2d_nln", {"nonlocal_kind": "maximum"}, "'softmax' or 'dot_product'"),
        ("tiny_slow", {"num_labels": 0}, "num_labels is 0; give a whole number"),
        ("tiny_slow", {"num_frames": -1}, "num_frames is -1; give a whole number"),
        (None, {}, "unknown model None"),
    ],
)
def test_invalid_settings_raise_a_clear_error(name: str, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        models.create(name, **overrides)


def test_overrides_reach_the_settings_and_the_network() -> None:
    model = models.create("tiny_x3d", num_labels=3, width_factor=2.0, num_frames=6)
    assert model.head.projection.weight.shape == (3, 192)
    assert (model.config.num_frames, model.config.settings, model.config.variant) == (6, "custom", "tiny_x3d")
    assert models.create("tiny_x3d", num_labels=3).config.settings == "tiny"


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("size", [(72, 128), (63, 95), (40, 33)])
def test_frames_of_any_size_are_accepted(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = models.create(name).eval()
    with torch.inference_mode():
        logits = model(pixel_values=torch.randn(1, 3, TINY[name].num_frames, *size), boxes=BOXES[:1]).logits
    assert logits.shape == (1, 50) and torch.isfinite(logits).all()
