"""Session fixtures: a process that forks trainings, and the folder of a finished run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from microg4m_hf.data import ensure_sample
from tests.support.train_runs import Trainers, write_recipe


@pytest.fixture(scope="session")
def trainers() -> Iterator[Trainers]:
    ensure_sample()
    trainers = Trainers()
    yield trainers
    trainers.close()


@pytest.fixture(scope="session")
def finished(trainers: Trainers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that trained a tiny network for ten steps. Tests must not change it."""
    folder = tmp_path_factory.mktemp("finished")
    trainers.start(write_recipe(folder), folder / "run").finish()
    return folder / "run"
