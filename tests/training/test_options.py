"""Encoders of transformers, moving average, compilation, trackers, cache: each trains and does what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microg4m_hf.training.recipe_io import load_recipe
from tests.support.train_runs import Trainers, losses, steps_logged, write_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SHORT = ("loop.max_steps=2", "data.workers=0", "loop.batch=4", "data.num_frames=4", "data.crop=32")
TINY = {
    "videomae_b_16x4": "{image_size: 32, patch_size: 16, num_frames: 4, hidden_size: 8, num_hidden_layers: 1, "
    "num_attention_heads: 2, intermediate_size: 16}",
    "vjepa2_l_16x4": "{crop_size: 32, patch_size: 16, frames_per_clip: 4, hidden_size: 12, num_hidden_layers: 1, "
    "num_attention_heads: 2, mlp_ratio: 2, pred_hidden_size: 12, pred_num_hidden_layers: 1, "
    "pred_num_attention_heads: 2}",
}


@pytest.mark.parametrize("name", sorted(TINY))
def test_encoders_of_transformers(trainers: Trainers, tmp_path: Path, name: str) -> None:
    """The shipped recipe with a tiny encoder of the same kind from scratch."""
    words = (*SHORT, "data.source=sample", "data.short_side=[32,40]", "data.eval_short_side=32", "model.init=null")
    recipe = write_recipe(tmp_path, (RECIPES / f"{name}.yaml").read_text())
    trainers.start(recipe, tmp_path / "run", *words, f"model.overrides={TINY[name]}").finish()
    assert steps_logged(tmp_path / "run") == 2
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["network"]["config"]["model_type"] == load_recipe(recipe).model.name
    assert config["image_mean"] == [0.485, 0.456, 0.406]


def test_moving_average_is_what_is_kept(trainers: Trainers, tmp_path: Path) -> None:
    """With a decay of one the average stays at the first step's weights, whatever is learnt after it."""
    from safetensors.numpy import load_file

    weights = {}
    for steps in (1, 3):
        out = tmp_path / f"run{steps}"
        words = ("loop.ema=1.0", f"loop.max_steps={steps}", "loop.checkpoint_every=0")
        trainers.start(write_recipe(tmp_path), out, *words).finish()
        weights[steps] = load_file(out / "model" / "model.safetensors")["head.projection.weight"].tobytes()
    assert weights[1] == weights[3]
    trainers.start(write_recipe(tmp_path), tmp_path / "run3", "loop.ema=1.0", "loop.max_steps=4").finish()
    assert load_file(tmp_path / "run3/model/model.safetensors")["head.projection.weight"].tobytes() == weights[1]


def test_compiled_and_watched(trainers: Trainers, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    words = (*SHORT, "data.short_side=[32,32]", "loop.tracker=tensorboard")
    trainers.start(write_recipe(tmp_path), tmp_path / "plain", *words).finish()
    assert list((tmp_path / "plain").rglob("events.out.tfevents*"))
    trainers.start(write_recipe(tmp_path), tmp_path / "compiled", *words, "loop.compile=aot_eager").finish()
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert (tmp_path / "compiled" / "model" / "model.safetensors").is_file()


def test_cached_windows_give_the_same_losses_when_nothing_is_shrunk(trainers: Trainers, tmp_path: Path) -> None:
    """Frames of the sample are no larger than what is asked for: cached and decoded windows are one."""
    words = ("data.short_side=[144,160]", "data.crop=32", "loop.max_steps=8")
    trainers.start(write_recipe(tmp_path), tmp_path / "decoded", *words).finish()
    cache = f"data.cache={tmp_path / 'windows'}"
    (tmp_path / "windows").mkdir()
    (tmp_path / "windows" / "torn.part").write_bytes(b"left by a kill")
    trainers.start(write_recipe(tmp_path), tmp_path / "cached", *words, cache, processes=2).finish()
    kept = list((tmp_path / "windows").iterdir())
    assert len(kept) > 30
    assert all(path.suffix == ".npy" for path in kept)
    trainers.start(write_recipe(tmp_path), tmp_path / "again", *words, cache).finish()
    assert losses(tmp_path / "again") == losses(tmp_path / "decoded")


def test_the_cache_stays_within_its_bound(tmp_path: Path) -> None:
    import numpy as np

    from microg4m_hf.training.window_cache import WindowCache

    writers = [WindowCache(tmp_path, limit_gb=1e-3) for _ in range(3)]
    for number in range(300):
        writers[number % 3].put(str(number), np.zeros((1, 64, 64, 3), np.uint8))
    assert 0.7e6 < sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1.03e6
    assert writers[0].get("0") is not None
