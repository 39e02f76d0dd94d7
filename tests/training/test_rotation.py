"""Rotations move pixels and boxes together: pixels as torchvision does, boxes as the network needs them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from microg4m_hf import models
from microg4m_hf.errors import RecipeError
from microg4m_hf.training.loading.dataset import KeyFrame, KeyFrameWindows
from microg4m_hf.training.loading.loader import slot_bytes
from microg4m_hf.training.loading.rotation import Rotation, rotated_boxes
from microg4m_hf.training.loading.transforms import Geometry, move_boxes, render, render_packed, training_geometry
from microg4m_hf.training.recipe import Data

DATA = Data(num_frames=2, stride=8, short_side=(64, 80), crop=56)


def _frames(height: int, width: int, count: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def _seen(frames: np.ndarray, geometry: Geometry) -> np.ndarray:
    """What the model sees, (T, H, W, 3)."""
    return render(torch.from_numpy(frames), geometry).permute(1, 2, 3, 0).numpy()


@pytest.mark.parametrize("middle", [(20.0, 30.0), (3.25, 55.5)])
@pytest.mark.parametrize("degrees", [0, 17.5, 90, 123, 180, 270, 359])
def test_pixels_are_those_of_torchvision(degrees: float, middle: tuple[float, float]) -> None:
    """Around the frame, torchvision gets what a symmetric padding puts there."""
    from torchvision.transforms.v2 import InterpolationMode, functional

    frames, margin = _frames(64, 48), 200
    ours = _seen(frames, Geometry(64, 48, 0, 0, 64, 48, rotation=Rotation(degrees, *middle)))
    padded = np.pad(frames, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    center = [middle[0] + margin, middle[1] + margin]
    theirs = functional.rotate(
        torch.from_numpy(padded).permute(0, 3, 1, 2).float(), -degrees, InterpolationMode.BILINEAR, center=center
    )
    inner = theirs[:, :, margin:-margin, margin:-margin].permute(0, 2, 3, 1).numpy()
    assert np.abs(ours - inner).max() < 0.05  # of 255; torchvision computes positions in single precision


@pytest.mark.parametrize("quarters", range(-1, 5))
def test_a_quarter_turn_is_that_of_the_crop_bit_for_bit(quarters: int) -> None:
    frames = _frames(90, 160, 2)
    plain = Geometry(72, 128, 10, 30, 56, 56)
    turned = dataclasses.replace(plain, rotation=Rotation(90 * quarters, 28, 28))
    assert np.array_equal(_seen(frames, turned), np.rot90(_seen(frames, plain), -quarters, axes=(1, 2)))
    packed = render(torch.from_numpy(render_packed(frames, turned)), turned).permute(1, 2, 3, 0).numpy()
    assert np.abs(packed - _seen(frames, turned)).max() <= 1 / 512


def test_flip_and_mirror_come_after_the_rotation() -> None:
    frames = _frames(90, 160)
    plain = _seen(frames, Geometry(72, 128, 10, 30, 56, 56, rotation=Rotation(33, 20, 30)))
    both = _seen(frames, Geometry(72, 128, 10, 30, 56, 56, True, Rotation(33, 20, 30, mirror=True)))
    assert np.abs(both - plain[:, ::-1, ::-1]).max() < 1e-3
    boxes = np.array([[0.3, 0.3, 0.5, 0.6]])
    straight = move_boxes(boxes, 90, 160, Geometry(72, 128, 10, 30, 56, 56, rotation=Rotation(33, 20, 30)))
    moved = move_boxes(boxes, 90, 160, Geometry(72, 128, 10, 30, 56, 56, True, Rotation(33, 20, 30, mirror=True)))
    assert moved[0] == pytest.approx(1 - straight[0][[2, 3, 0, 1]], abs=1e-6)


def test_what_lies_beyond_the_frame_is_its_mirror_image() -> None:
    frames = _frames(20, 20)
    seen = _seen(frames, Geometry(20, 20, -30, -30, 80, 80, rotation=Rotation(0, 40, 40)))
    assert np.array_equal(seen, np.pad(frames, ((0, 0), (30, 30), (30, 30), (0, 0)), mode="symmetric"))


def test_a_painted_box_is_where_the_moved_box_is() -> None:
    """Paint a box; every pixel of it is inside the re-fitted box, which touches it on all four sides."""
    rng = np.random.default_rng(0)
    for number in range(60):
        x1, y1 = rng.uniform(0.3, 0.45, 2)
        box = np.array([[x1, y1, x1 + rng.uniform(0.1, 0.2), y1 + rng.uniform(0.1, 0.2)]])
        frames = np.zeros((1, 240, 240, 3), np.uint8)
        left, top, right, bottom = (box[0] * 240).round().astype(int)
        frames[:, top:bottom, left:right] = 255
        exact = np.array([[left, top, right, bottom]]) / 240
        rotation = Rotation(float(rng.uniform(0, 360)), *rng.uniform(80, 120, 2), mirror=bool(number % 2))
        geometry = Geometry(200, 200, 0, 0, 200, 200, bool(number % 3), rotation)
        rows, columns = np.nonzero(_seen(frames, geometry)[0, :, :, 0] > 127)
        painted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        moved = move_boxes(exact, 240, 240, geometry)[0] * 200
        assert moved == pytest.approx(painted, abs=1.5), number  # a corner covers less than half of its pixel


def test_properties_of_rotated_boxes() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        height, width = rng.integers(20, 300, 2).tolist()
        corners = np.sort(rng.uniform(-50, 350, (5, 2, 2)), axis=1)
        boxes = np.concatenate([corners[:, 0], corners[:, 1]], 1)
        degrees, (x, y) = float(rng.uniform(-720, 720)), rng.uniform(0, 200, 2).tolist()
        rotation = Rotation(degrees, x, y, bool(rng.random() < 0.5))
        flip = bool(rng.random() < 0.5)
        moved = rotated_boxes(boxes, rotation, flip, height, width)
        assert (moved >= 0).all() and (moved <= [width, height] * 2).all() and (moved[:, 2:] >= moved[:, :2]).all()
        # Whatever is in a box and in the rotated crop is in the moved box.
        inside = boxes[:, :2] + rng.uniform(0, 1, (5, 2)) * (boxes[:, 2:] - boxes[:, :2])
        points = rotated_boxes(np.concatenate([inside, inside], 1), rotation, flip, 10**6, 10**6)[:, :2]
        seen = rotated_boxes(np.concatenate([inside, inside], 1), rotation, flip, height, width)[:, :2]
        assert (seen >= moved[:, :2] - 1e-6).all() and (seen <= moved[:, 2:] + 1e-6).all(), points
        # A full turn more changes nothing.
        again = rotated_boxes(boxes, dataclasses.replace(rotation, degrees=degrees + 360), flip, height, width)
        assert again == pytest.approx(moved, abs=1e-6)


def test_quarter_turns_of_boxes_are_exact_and_come_back() -> None:
    boxes = np.random.default_rng(2).integers(0, 57, (50, 4)).astype(float)
    boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)
    once = rotated_boxes(boxes, Rotation(90, 28, 28), False, 56, 56)
    assert np.array_equal(once, np.stack([56 - boxes[:, 3], boxes[:, 0], 56 - boxes[:, 1], boxes[:, 2]], 1))
    assert np.array_equal(rotated_boxes(once, Rotation(-90, 28, 28), False, 56, 56), boxes)
    half = rotated_boxes(boxes, Rotation(180, 28, 28), False, 56, 56)
    assert np.array_equal(half, rotated_boxes(boxes, Rotation(0, 28, 28, mirror=True), True, 56, 56))


def _without_strides(turned: bool) -> Any:
    """X3D at stride 1, whose grid is symmetric; ``turned`` turns all of its kernels clockwise."""
    torch.manual_seed(0)
    model = models.create("tiny_x3d", roi_stride=1).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.stride = (module.stride[0], 1, 1)
            module.weight.data = torch.randn_like(module.weight) / module.weight[0].numel() ** 0.5
            if turned:
                module.weight.data = module.weight.data.rot90(-1, (3, 4)).contiguous()
        elif isinstance(module, torch.nn.BatchNorm3d):
            module.weight.data.fill_(1)
    return model


@pytest.mark.parametrize("scaled", [24, 36])
def test_a_turned_clip_and_its_box_go_through_the_network_like_the_original_through_a_turned_one(scaled: int) -> None:
    frames, boxes = _frames(24, 24, 4), np.array([[0.2, 0.3, 0.5, 0.9], [0.0, 0.0, 1.0, 0.4]])
    upright = Geometry(scaled, scaled, 4, 2, 20, 20, rotation=Rotation(0, 10, 10))
    turned = dataclasses.replace(upright, rotation=Rotation(90, 10, 10))

    def logits(model: Any, geometry: Geometry) -> torch.Tensor:
        clip = render(torch.from_numpy(frames), geometry)[None] / 128 - 1
        with torch.inference_mode():
            return model(pixel_values=clip, boxes=[torch.from_numpy(move_boxes(boxes, 24, 24, geometry))]).logits

    expected = logits(_without_strides(False), upright)
    assert (logits(_without_strides(True), turned) - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (logits(_without_strides(False), turned) - expected).abs().max() > 1e-2 * expected.abs().max()


def test_any_angle_goes_through_a_network_that_has_no_directions() -> None:
    """Kernels of one pixel have no direction: the largest feature of a person is the same under any angle."""
    from microg4m_hf.models.modeling import RoIHead

    torch.manual_seed(0)
    head = RoIHead([6], 5, stride=1, size=7, dropout=0.0).eval()
    body = torch.nn.Conv3d(3, 6, 1, bias=False)
    body.weight.data.abs_()  # the most light, which is inside the person, gives the largest features
    rows, columns = np.mgrid[:120, :120]
    light = np.exp(-((rows - 55) ** 2 + (columns - 68) ** 2) / 2 / 14**2)
    frames = (255 * light)[None, :, :, None].repeat(3, 3).astype(np.uint8)
    boxes = np.array([[0.45, 0.3, 0.7, 0.65]])

    def logits(degrees: float) -> torch.Tensor:
        geometry = Geometry(120, 120, 4, 4, 112, 112, rotation=Rotation(degrees, 60, 50))
        regions = torch.from_numpy(move_boxes(boxes, 120, 120, geometry) * 112)
        with torch.inference_mode():
            maps = body(render(torch.from_numpy(frames), geometry)[None] / 255)
            return head(([maps], torch.cat([torch.zeros(1, 1), regions], 1)))

    expected = logits(0)
    for degrees in np.linspace(7, 353, 20):
        assert (logits(degrees) - expected).abs().max() < 0.02 * expected.abs().max()


def test_options_that_are_off_draw_nothing() -> None:
    """The scale, crop and flip of an item are the same with and without a rotation."""
    boxes = np.array([[0.2, 0.2, 0.4, 0.4]])
    for seed in range(20):
        plain = training_geometry(90, 160, DATA, np.random.default_rng(seed), boxes)
        options: dict[str, Any] = {"rotate": "any", "rotate_about": "person", "vertical_flip": 0.5}
        turned = dataclasses.replace(DATA, **options)
        rotated = training_geometry(90, 160, turned, np.random.default_rng(seed), boxes)
        assert plain.rotation is None and rotated.rotation is not None
        assert dataclasses.replace(rotated, rotation=None) == plain


def test_rotations_that_are_drawn() -> None:
    def drawn(**options: Any) -> list[Rotation]:
        data = dataclasses.replace(DATA, **options)
        found = [training_geometry(90, 160, data, np.random.default_rng(seed)).rotation for seed in range(200)]
        return [rotation for rotation in found if rotation is not None]

    assert {rotation.degrees for rotation in drawn(rotate="quarter")} == {0, 90, 180, 270}
    degrees = [rotation.degrees for rotation in drawn(rotate="any")]
    assert np.histogram(degrees, 4, (0, 360))[0].min() > 30
    mirrored = [rotation.mirror for rotation in drawn(vertical_flip=0.25)]
    assert 20 < sum(mirrored) < 80
    assert {(rotation.degrees, rotation.x, rotation.y) for rotation in drawn(vertical_flip=1.0)} == {(0.0, 28.0, 28.0)}


def test_a_person_that_is_rotated_about_keeps_their_place() -> None:
    data = dataclasses.replace(DATA, rotate="any", rotate_about="person", flip=0.0)
    boxes = np.array([[0.40, 0.3, 0.5, 0.7], [0.6, 0.3, 0.7, 0.7]])
    kept = set()
    for seed in range(40):
        geometry = training_geometry(90, 160, data, np.random.default_rng(seed), boxes)
        assert geometry.rotation is not None
        x, y = geometry.rotation.x, geometry.rotation.y
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2 * [geometry.width, geometry.height] - [geometry.left, geometry.top]
        near = np.abs(middles - [x, y]).max(1) < 1e-9
        seen = ((middles >= 0) & (middles <= 56)).all(1)
        assert near.any() and seen[near].all() if seen.any() else (x, y) == (28, 28)
        kept |= set(np.flatnonzero(near).tolist())
    assert kept == {0, 1}


def test_whole_frames_are_rotated_in_a_square() -> None:
    data = Data(num_frames=2, stride=8, short_side=(60, 60), crop=None, rotate="any")
    sizes = set()
    for seed in range(10):
        geometry = training_geometry(90, 160, data, np.random.default_rng(seed))
        sizes.add(render_packed(_frames(90, 160), geometry).shape)
        boxes = move_boxes(np.array([[0.4, 0.4, 0.6, 0.6]]), 90, 160, geometry)
        assert (boxes > 0).all() and (boxes < 1).all()
    assert sizes == {(3, 1, 106, 106)}


def test_items_are_functions_of_seed_epoch_and_index(tmp_path: Any) -> None:
    item = KeyFrame(None, "a_001", 1, np.array([[0.4, 0.4, 0.6, 0.6]], np.float32), np.zeros((1, 50)), np.array([1]))
    data = dataclasses.replace(DATA, rotate="any", vertical_flip=0.5)

    class Windows(KeyFrameWindows):
        def _read(self, item: KeyFrame, geometry_of: Any) -> tuple[np.ndarray, Geometry]:
            return _frames(90, 160, 2), geometry_of(90, 160)

    first, second = (Windows([item] * 3, data, training=True, seed=4) for _ in range(2))
    forward = [first[epoch, index] for epoch in range(2) for index in range(3)]
    backward = [second[epoch, index] for epoch in (1, 0) for index in (2, 1, 0)][::-1]
    assert [one.geometry for one in forward] == [one.geometry for one in backward]
    assert len({one.geometry for one in forward}) == 6
    assert render_packed(forward[0].frames, forward[0].geometry).nbytes <= slot_bytes(first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotate": "half"}, "data.rotate is 'half'"),
        ({"rotate_about": "person"}, "rotates nothing; set data.rotate=quarter"),
        ({"vertical_flip": 2.0}, "data.vertical_flip must be at least 0 and at most 1"),
    ],
)
def test_settings_without_an_effect_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Data(num_frames=2, stride=8, **options)
