"""One process that trainings are forked from, and one finished run, for all tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from microg4m_hf.data import ensure_sample
from tests.support.train_runs import Trainers, write_recipe


@pytest.fixture(scope="session")
def trainers() -> Iterator[Trainers]:
    ensure_sample()
    started = Trainers()
    yield started
    started.close()


@pytest.fixture(scope="session")
def finished(trainers: Trainers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that trained ten steps of a tiny network; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("finished")
    trainers.start(write_recipe(folder), folder / "run").finish()
    return folder / "run"
