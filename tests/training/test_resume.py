"""Kill -9 at random steps, start the same command again: the weights are those of a run nobody touched."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.support.train_runs import Trainers, losses, steps_logged, write_recipe


def _weights(out: Path) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in load_file(out / "model" / "model.safetensors").items()}


@pytest.mark.parametrize("processes", [1, 2])
def test_five_kills_change_nothing(tmp_path: Path, trainers: Trainers, processes: int) -> None:
    recipe = write_recipe(tmp_path)
    calm, struck = tmp_path / "calm", tmp_path / "struck"
    trainers.start(recipe, calm, processes=processes).finish()

    dice = random.Random(processes)
    for step in sorted(dice.sample(range(1, 10), 5)):
        trainers.start(recipe, struck, processes=processes).kill_at(step)
    trainers.start(recipe, struck, processes=processes).finish()

    assert steps_logged(struck) == 10
    assert losses(struck) == losses(calm)
    assert _weights(struck) == _weights(calm)
