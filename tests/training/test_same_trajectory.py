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


@pytest.mark.cpu
def test_rotated_clips_and_turned_copies(trainers: Trainers, tmp_path: Path) -> None:
    """They are the same after a kill, bit for bit, and on two processes with micro batches."""
    recipe, whole, killed, shared = write_recipe(tmp_path), *(tmp_path / name for name in ("whole", "killed", "shared"))
    turned = ("data.rotate=any", "data.rotate_about=person", "data.vertical_flip=0.5", "loop.consistency=0.5")
    words = (*DETERMINISTIC, *turned, "loop.loss=balanced")
    trainers.start(recipe, whole, *words).finish()
    trainers.start(recipe, killed, *words).kill_at(5)
    trainers.start(recipe, killed, *words).finish()
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (whole, killed)]
    assert losses(killed) == losses(whole) and weights[0] == weights[1]
    trainers.start(recipe, shared, *words, "loop.micro_batch=3", processes=2).finish()
    assert losses(shared) == pytest.approx(losses(whole), rel=1e-5)


@pytest.mark.cpu
def test_a_run_with_turn_pooling_is_resumed_bit_for_bit(trainers: Trainers, tmp_path: Path) -> None:
    recipe, whole, killed = write_recipe(tmp_path), tmp_path / "whole", tmp_path / "killed"
    words = ("model.overrides.turn_pooling=true", "data.rotate=quarter", "loop.max_steps=4")
    trainers.start(recipe, whole, *words).finish()
    trainers.start(recipe, killed, *words).kill_at(3)
    trainers.start(recipe, killed, *words).finish()
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (whole, killed)]
    assert losses(killed) == losses(whole) and weights[0] == weights[1]
    assert json.loads((whole / "model" / "config.json").read_text())["turn_pooling"] is True
