"""Kill a run at random steps and start it again: its weights are those of a run that was never stopped."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.support.train_runs import Trainers, losses, steps_logged, write_recipe


def _weights(out: Path) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in load_file(out / "model" / "model.safetensors").items()}


@pytest.mark.cpu
def test_two_processes_validate_the_averaged_model_that_is_saved(tmp_path: Path, trainers: Trainers) -> None:
    """Each has running statistics of its own between two steps, and the model is that of the first one."""
    from microg4m_hf.training import load_recipe, predict_har

    out = tmp_path / "run"
    words = ("loop.ema=0.3", "loop.batch_norm=train", "loop.max_steps=6", "data.validation_crop=true")
    trainers.start(write_recipe(tmp_path), out, *words, processes=2).finish()
    logged = json.loads((out / "results.json").read_text())["validation_map"]
    recipe = load_recipe(out / "config.yaml", [f"model.init={out / 'model'}", "data.test_crop=true"])
    again = predict_har(recipe, tmp_path / "again", "validation")
    assert again["validation"]["scores"]["map"] == pytest.approx(logged, rel=1e-6)


@pytest.mark.cpu
@pytest.mark.parametrize("processes", [1, 2])
def test_five_kills_do_not_change_the_weights(tmp_path: Path, trainers: Trainers, processes: int) -> None:
    recipe = write_recipe(tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    trainers.start(recipe, whole, processes=processes).finish()

    rng = random.Random(processes)
    for step in sorted(rng.sample(range(1, 10), 5)):
        trainers.start(recipe, killed, processes=processes).kill_at(step)
    trainers.start(recipe, killed, processes=processes).finish()

    assert steps_logged(killed) == 10
    assert losses(killed) == losses(whole)
    assert _weights(killed) == _weights(whole)
