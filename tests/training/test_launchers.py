"""Launch two processes with the command that users type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.train_runs import command, run_command, steps_logged, write_recipe
from tests.support.warm_python import warm_python


@pytest.mark.slow
def test_two_processes_of_torchrun(tmp_path: Path) -> None:
    _, *words = command(write_recipe(tmp_path), tmp_path / "run", "loop.max_steps=2", processes=2)
    ended = run_command([warm_python(), *words], env={"PYTHON_EXEC": warm_python()})
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.count("test mAP") == 1
    assert "(chance " in ended.stdout
    assert steps_logged(tmp_path / "run") == 2
    assert json.loads((tmp_path / "run" / "results.json").read_text())["processes"] == 2
