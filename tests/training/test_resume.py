"""Kill a run at random steps and start it again: its weights are those of a run that was never stopped."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.support.train_runs import Trainers, losses, steps_logged, write_recipe


def _weights(out: Path) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in load_file(out / "model" / "model.safetensors").items()}


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
