"""The losses do not depend on how a step is divided among processes and micro batches.

BatchNorm is frozen and dropout is off, because statistics and masks belong to one forward pass. Only the order of sums
differs, which in single precision changes a few units of 1e-6.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.train_runs import Trainers, losses, write_recipe

DETERMINISTIC = ("loop.batch_norm=frozen", "loop.loss_mean=global", "model.overrides.dropout=0.0", "loop.max_steps=8")


@pytest.fixture(scope="module")
def one(trainers: Trainers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process with batches of eight."""
    folder = tmp_path_factory.mktemp("one")
    trainers.start(write_recipe(folder), folder / "run", *DETERMINISTIC).finish()
    found = losses(folder / "run")
    assert found[8] < found[1]
    return folder / "run"


@pytest.mark.parametrize("words", [("loop.micro_batch=4",), ("loop.micro_batch=3",)])
def test_accumulation(trainers: Trainers, one: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    trainers.start(write_recipe(tmp_path), tmp_path / "run", *DETERMINISTIC, *words).finish()
    assert losses(tmp_path / "run") == pytest.approx(losses(one), rel=1e-5)


def test_two_processes(trainers: Trainers, one: Path, tmp_path: Path) -> None:
    """Two processes with four clips each log the mean of their losses, and their scores are exact."""
    trainers.start(write_recipe(tmp_path), tmp_path / "run", *DETERMINISTIC, processes=2).finish()
    assert losses(tmp_path / "run") == pytest.approx(losses(one), rel=1e-5)
    scores = [json.loads((run / "results.json").read_text())["test"]["scores"] for run in (one, tmp_path / "run")]
    assert scores[1] == pytest.approx(scores[0], abs=1e-6, nan_ok=True)
