"""Batches from worker processes: the same pixels as without them, under any limit, and an end for every fault."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.data import ensure_sample
from microg4m_hf.data.turns import Turn, quarter_turns, turn_frames
from microg4m_hf.errors import RecipeError
from microg4m_hf.training import Data, Geometry, KeyFrameWindows, load_recipe, split_items
from microg4m_hf.training.loading.dataset import KeyFrame
from tests.support.train_runs import RECIPE, write_recipe
from tests.support.warm_python import warm_python

RECIPES = Path(__file__).parents[2] / "recipes"
RESIZED = Data(num_frames=4, stride=8, source="sample", key_frame="exact", short_side=(70, 90), crop=64)


def test_packed_pixels_are_those_of_the_float_path() -> None:
    import torch

    from microg4m_hf.training.loading.transforms import render, render_packed

    frames = np.random.default_rng(0).integers(0, 256, (2, 120, 214, 3), dtype=np.uint8)
    for geometry in (
        Geometry(64, 114, 3, 20, 56, 56, flip=True),
        Geometry(64, 114, 0, 0, 64, 114),
        Geometry(240, 428, 11, 100, 224, 224),
        Geometry(120, 214, 0, 0, 120, 214, flip=True),
    ):
        expected = render(torch.from_numpy(frames), geometry)
        packed = torch.from_numpy(render_packed(frames, geometry))
        assert packed.element_size() == 2
        assert torch.equal(packed.int(), (expected * 256).round().int() - 32768), "rounded once, and not otherwise"
        assert (render(packed, geometry) - expected).abs().max() <= 1 / 512


@pytest.mark.parametrize("turn", quarter_turns(4, mirror=True), ids=str)
def test_turned_frames_are_packed_as_their_copies(turn: Turn) -> None:
    """Turned frames are views with negative strides, which torch does not take."""
    from microg4m_hf.training.loading.transforms import render_packed

    frames = turn_frames(np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), dtype=np.uint8), turn)
    geometry = Geometry(40, 40, 3, 5, 32, 32)
    assert np.array_equal(render_packed(frames, geometry), render_packed(frames.copy(), geometry))


def test_a_packed_batch_is_normalized_to_the_same_bits_as_its_clips() -> None:
    from types import SimpleNamespace

    import torch

    from microg4m_hf.training.loading.batches import ClipMemory, render_batch
    from microg4m_hf.training.loading.transforms import render, render_packed

    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 60, 90, 3), dtype=np.uint8)
    geometries = [Geometry(64, 96, 3, 20, 56, 48, flip=flip) for flip in (True, False)]
    packed = [torch.from_numpy(render_packed(*pair)) for pair in zip(frames, geometries, strict=True)]
    config = SimpleNamespace(image_mean=(0.45, 0.4, 0.5), image_std=(0.225, 0.2, 0.25))
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (config.image_mean, config.image_std))
    expected = torch.stack([(render(*pair) / 255.0 - mean) / std for pair in zip(packed, geometries, strict=True)])
    whole = [torch.from_numpy(window) for window in frames]
    for device in (None, *(["cuda"] if torch.cuda.is_available() else [])):
        clips = render_batch(packed, geometries, config, device)
        assert clips.is_contiguous()
        assert torch.equal(clips.cpu(), expected) or (device and torch.allclose(clips.cpu(), expected, atol=1e-6))
        assert (render_batch(whole, geometries, config, device).cpu() - expected).abs().max() < 1e-4
    memory = ClipMemory()
    before = memory.render(packed[::-1], geometries, config, "cpu")
    again = memory.render(packed, geometries, config, "cpu")
    assert again.data_ptr() == before.data_ptr() and torch.equal(again, expected)
    assert memory.render(packed[:1], geometries[:1], config, "cpu").data_ptr() != before.data_ptr()


def test_batches_fetched_ahead_are_those_of_the_loader() -> None:
    """The next one comes while the step before is computed, and an error in its place."""
    import torch

    from microg4m_hf.training.loading.batches import Prefetched

    def batches() -> Iterator[dict[str, Any]]:
        for number in range(3):
            yield {"windows": [torch.full((3, 2, 4, 4), number, dtype=torch.int16)] * 2, "number": number}
        raise RecipeError("the clip is broken")

    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        ahead, seen = Prefetched(batches(), torch.device(device)), []
        with pytest.raises(RecipeError, match="the clip is broken"):
            for batch in ahead:
                ahead.fetch_next()
                ahead.fetch_next()  # only one is kept
                assert ahead.waited() >= 0
                assert {window.device.type for window in batch["windows"]} == {device}
                seen.append((batch["number"], [int(window.max()) for window in batch["windows"]]))
        assert seen == [(number, [number] * 2) for number in range(3)]


@pytest.mark.parametrize(
    "changes", [{}, {"crop": None, "short_side": (80, 80)}, {"rotate": "any"}, {"align": "box"}], ids=str
)
def test_an_item_has_only_the_part_of_the_frames_that_its_crop_needs(changes: dict[str, Any]) -> None:
    """And from it the same pixels and boxes as from whole frames."""
    from microg4m_hf.data import open_clip, window
    from microg4m_hf.training.loading.dataset import align_items
    from microg4m_hf.training.loading.transforms import move_boxes, render_packed

    data = dataclasses.replace(RESIZED, **changes)
    items = align_items(split_items(data, "test")[:3], data)
    for training in (True, False):
        windows = KeyFrameWindows(items, data, training=training, center_crop=True)
        for index, item in enumerate(items):
            part = windows[2, index]
            with open_clip(item.video) as clip:
                frames = clip.frames(window(len(clip), item.frame, 4, 8, one_based=True))
            geometry = dataclasses.replace(part.geometry, part=None)
            if changes == {}:
                assert part.frames.nbytes < 0.7 * frames.nbytes
            assert np.array_equal(render_packed(part.frames, part.geometry), render_packed(frames, geometry))
            assert np.array_equal(part.boxes, move_boxes(item.boxes, *frames.shape[1:3], geometry))


@pytest.mark.parametrize("changes", [{"stride": 40}, {"cache": "windows"}, {"rotate": "any"}], ids=str)
def test_a_packed_item_has_the_pixels_of_its_frames(changes: dict[str, Any], tmp_path: Path) -> None:
    """Also if frames repeat at the ends of a clip, and in the array that the caller provides."""
    from microg4m_hf.training.loading.transforms import render_packed

    changes = {name: str(tmp_path) if name == "cache" else value for name, value in changes.items()}
    data = dataclasses.replace(RESIZED, **changes)
    windows = KeyFrameWindows(split_items(data, "test")[:2], data, training=True)
    for index in range(2):
        item, pixels = windows[1, index], np.empty((3, 4, 64, 64), np.int16)
        packed = windows.packed((1, index), lambda shape, dtype, pixels=pixels: pixels)
        assert packed.frames is pixels
        assert np.array_equal(packed.frames, render_packed(item.frames, item.geometry))
        assert np.array_equal(packed.boxes, item.boxes) and packed.geometry == item.geometry


@pytest.mark.parametrize("training", [True, False])
def test_workers_deliver_what_one_process_loads(training: bool) -> None:
    """In order, for any number of workers, though the slots of the shared memory are used many times."""
    from microg4m_hf.training.loading.loader import load_batches

    items = KeyFrameWindows(split_items(RESIZED, "test")[:5], RESIZED, training=training)
    places: list[list[Any]] = [[(epoch, index) for index in (4, 0, 2)[: 1 + epoch % 3]] for epoch in range(9)]

    def load(workers: int) -> list[tuple[Any, ...]]:
        loaded = load_batches(items, places, workers=workers, largest=3)
        return [
            (batch["indices"], [window.clone() for window in batch["windows"]], batch["boxes"], batch["labels"])
            for batch in loaded
        ]

    plain, parallel = load(0), load(2)
    assert [len(batch[0]) for batch in plain] == [1, 2, 3] * 3
    for one, two in zip(plain, parallel, strict=True):
        assert one[0] == two[0]
        assert all(np.array_equal(a, b) for a, b in zip(one[1], two[1], strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(one[2], two[2], strict=True))
        assert np.array_equal(one[3], two[3])


def test_a_window_larger_than_its_slot_arrives_through_the_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    from microg4m_hf.training.loading import loader

    items = KeyFrameWindows(split_items(RESIZED, "test")[:2], RESIZED)
    expected = [batch["windows"][0] for batch in loader.load_batches(items, [[0], [1]], workers=0, largest=1)]
    monkeypatch.setattr(loader, "slot_bytes", lambda items: 64)
    received = [batch["windows"][0] for batch in loader.load_batches(items, [[0], [1]], workers=1, largest=1)]
    assert all(np.array_equal(one, two) for one, two in zip(expected, received, strict=True))


@pytest.mark.parametrize("name", ["i3d_8x8_r50", "x3d_s", "slowfast_8x8_r50_corrected", "mvitv2_s_16x4"])
def test_published_recipes_keep_less_than_two_gigabytes_of_clips(name: str) -> None:
    """Whole frames of all batches on their way were 5 to 20 GB."""
    from microg4m_hf.training.loading.loader import plan_slots, slot_bytes

    recipe = load_recipe(RECIPES / f"{name}.yaml")
    items = KeyFrameWindows([], recipe.data, training=True)
    ahead, slots = plan_slots(recipe.data.workers, recipe.loop.batch)
    before = 2 * recipe.data.workers * recipe.loop.batch * recipe.data.num_frames * 480 * 854 * 3
    after = slots * slot_bytes(items)
    assert after < 2e9
    assert before / after > 6
    assert ahead * recipe.data.workers >= recipe.loop.batch, "the next batch is decoded during a step"


def test_an_error_about_a_time_limit_is_not_a_slow_worker() -> None:
    """Torch reports both as a RuntimeError. To wait after an error of an item would give the next one its place."""
    from microg4m_hf.training.loading.loader import receive_items

    def items() -> Iterator[int]:
        yield 1
        raise RuntimeError("Caught TimeoutExpired in DataLoader worker process 0.\nffmpeg timed out after 5 seconds")

    received = receive_items(items())
    assert next(received) == 1
    with pytest.raises(RuntimeError, match="ffmpeg timed out"):
        next(received)


def test_too_little_memory_is_an_error_before_any_clip_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    from microg4m_hf.errors import RecipeError
    from microg4m_hf.training.loading import loader

    monkeypatch.setattr(loader, "available_memory", lambda: 10 << 20)
    item = KeyFrame("missing.mp4", "a_001", 1, np.zeros((1, 4), np.float32), np.zeros((1, 50), np.uint8), np.ones(1))
    items = KeyFrameWindows([item] * 8, Data(num_frames=8, stride=8), training=True)
    with pytest.raises(RecipeError, match=r"need 0\.0 GB of memory .* lower loop\.batch .* or data\.workers"):
        next(loader.load_batches(items, [[0] * 8], workers=2, largest=8))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the limits and signals are those of Linux")
def test_limits_and_faults_of_workers(tmp_path: Path) -> None:
    """None of them may hang: a test run that waits for ever is ended by the time limit."""
    ensure_sample()
    script = Path(__file__).parents[1] / "support" / "loader_trials.py"
    expected = {
        "limited_files": "6 items",
        "few_descriptors": "ulimit -n 4096",
        "small_shm": "6 items",
        "full_shm": "/dev/shm is full",
        "killed_worker": "a process that decodes clips died",
        "stopped_worker": "is stopped. Run the same command again",
        "lost_item": "finished DriftHome_019, but the result did not arrive",
        "slow_worker": "6 items",
    }
    process = subprocess.run(
        [warm_python(), str(script), *expected],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TRIALS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    ended = {name: text for line in process.stdout.splitlines() for name, text in json.loads(line).items()}
    assert ended.keys() == expected.keys(), process.stderr[-3000:]
    for name, text in ended.items():
        assert expected[name] in text or text.startswith("not possible here"), f"{name}: {text}"
    assert "waiting for " in process.stderr


def test_more_processes_than_key_frames_are_refused(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from microg4m_hf.errors import RecipeError
    from microg4m_hf.training.loading.loader import run_batches

    recipe = load_recipe(write_recipe(tmp_path, RECIPE))
    items = KeyFrameWindows(split_items(recipe.data, "train")[:3], recipe.data)
    accelerator: Any = SimpleNamespace(num_processes=4, process_index=0)
    with pytest.raises(RecipeError, match="a step of 3 key frames cannot be shared by 4 processes"):
        run_batches(items, recipe, 0, 2, accelerator)
