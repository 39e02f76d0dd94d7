"""Kill -9 at random steps, start the same command again: the weights are those of a run nobody touched."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.support.train_runs import command, finish, kill_at, losses, start, steps_logged, write_recipe


def _weights(out: Path) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in load_file(out / "model" / "model.safetensors").items()}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_five_kills_change_nothing(tmp_path: Path, processes: int) -> None:
    recipe = write_recipe(tmp_path)
    calm, struck = tmp_path / "calm", tmp_path / "struck"
    log = tmp_path / "log.txt"
    finish(start(command(recipe, calm, processes=processes), log), log)

    dice = random.Random(processes)
    steps = sorted(dice.sample(range(2, 20), 5))
    for step in steps:
        kill_at(start(command(recipe, struck, processes=processes), log), struck, step, log)
    finish(start(command(recipe, struck, processes=processes), log), log)

    assert steps_logged(struck) == 20
    assert losses(struck) == losses(calm)
    assert _weights(struck) == _weights(calm)
