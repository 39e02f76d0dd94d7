"""Checkpoints are complete or absent, and a damaged one is noticed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from microg4m_hf.errors import CheckpointError
from microg4m_hf.training.checkpoints import (
    TrainState,
    _write_list,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_adapter_checkpoint,
    save_checkpoint,
)
from tests.support.kills import count_steps, kill_at_step
from tests.support.train_runs import Trainers, losses, write_recipe


@pytest.fixture
def accelerator() -> Accelerator:
    """An accelerator with a prepared layer, whose weight is the number of the step."""
    accelerator = Accelerator(cpu=True)
    layer = torch.nn.Linear(1, 1)
    accelerator.prepare(layer, torch.optim.SGD(layer.parameters(), lr=0.1))
    return accelerator


def save(accelerator: Accelerator, folder: Path, step: int) -> Path:
    with torch.no_grad():
        accelerator._models[0].weight.fill_(step)
    return save_checkpoint(accelerator, folder, TrainState(step), keep=2)


def load_newest(accelerator: Accelerator, folder: Path) -> int:
    """Return the step of the newest checkpoint, which is that of its weight."""
    checkpoint = find_checkpoint(accelerator, folder)
    assert checkpoint is not None
    step = load_checkpoint(accelerator, checkpoint).step
    assert accelerator._models[0].weight.item() == step
    return step


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage", "why"),
    [
        pytest.param("optimizer.bin", _truncate, "instead of", id="short optimizer"),
        pytest.param("model.safetensors", _flip_a_byte, "the content of model.safetensors has changed", id="bit"),
        pytest.param("random_states_0.pkl", _flip_a_byte, "random_states_0.pkl has changed", id="random state"),
        pytest.param("random_states_0.pkl", Path.unlink, "random_states_0.pkl is missing", id="no random state"),
        pytest.param("progress.json", Path.unlink, "progress.json is missing", id="no progress"),
        pytest.param("files.json", _truncate, "files.json is not readable", id="list"),
    ],
)
def test_the_checkpoint_before_a_damaged_one_is_used(
    accelerator: Accelerator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: Callable[[Path], Any],
    why: str,
) -> None:
    for step in (1, 2):
        newest = save(accelerator, tmp_path, step)
    damage(newest / name)
    assert load_newest(accelerator, tmp_path) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "checkpoint step-00000002 is damaged" in said
    assert why in said
    assert "renamed to damaged-step-00000002, and step-00000001 is used" in said
    assert load_newest(accelerator, tmp_path) == 1
    assert capsys.readouterr().err == ""
    _truncate(tmp_path / "step-00000001" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"all checkpoints in .* are damaged"):
        find_checkpoint(accelerator, tmp_path)


def test_a_checkpoint_without_a_list_is_checked_by_reading_it(
    accelerator: Accelerator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Earlier versions wrote no ``files.json``. A random state that cannot be restored is an error."""
    for step in (1, 2):
        newest = save(accelerator, tmp_path, step)
        (newest / "files.json").unlink()
    assert load_newest(accelerator, tmp_path) == 2
    torch.save({"step": 0}, newest / "random_states_0.pkl")
    with pytest.raises(CheckpointError, match=r"the random state in .*random_states_0.pkl cannot be restored"):
        load_newest(accelerator, tmp_path)
    (newest / "optimizer.bin").write_bytes(b"junk")
    assert load_newest(accelerator, tmp_path) == 1
    assert "optimizer.bin is not readable" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"step": 2, "phase": 3, "teacher": "x"}, "fields that this version does not know: phase, teacher"),
        ({"step": "2"}, "step must be int, given '2'"),
        ({"step": 3}, "is of step 3, which is not the step of its folder"),
        ([2], "holds a list instead of the progress"),
    ],
)
def test_fields_of_other_versions_are_named(accelerator: Accelerator, tmp_path: Path, values: Any, said: str) -> None:
    checkpoint = save(accelerator, tmp_path, 2)
    (checkpoint / "progress.json").write_text(json.dumps(values))
    (checkpoint / "files.json").unlink()
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(accelerator, checkpoint)


class _Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("name", ["random_states_0.pkl", "optimizer.bin"])
def test_code_in_a_checkpoint_is_not_run(
    accelerator: Accelerator, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, listed: bool
) -> None:
    """A stranger can also write a list that fits."""
    for step in (1, 2):
        newest = save(accelerator, tmp_path / "run", step)
    torch.save(_Payload(tmp_path / "pwned"), newest / name)
    (newest / "files.json").unlink()
    if listed:
        _write_list(newest)
        with pytest.raises(CheckpointError, match=r"does not fit this run|cannot be restored"):
            load_newest(accelerator, tmp_path / "run")
    else:
        assert load_newest(accelerator, tmp_path / "run") == 1
        assert f"{name} is not readable" in capsys.readouterr().err
    assert not (tmp_path / "pwned").exists()


def test_a_checkpoint_of_another_model_is_an_error(accelerator: Accelerator, tmp_path: Path) -> None:
    checkpoint = save(accelerator, tmp_path, 1)
    other = Accelerator(cpu=True)
    other.prepare(torch.nn.Linear(2, 3))
    with pytest.raises(CheckpointError, match=r"step-00000001 does not fit this run \(Error"):
        load_checkpoint(other, checkpoint)


def test_a_checkpoint_from_a_machine_without_a_gpu_goes_on_with_one(
    accelerator: Accelerator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The generators of the CPU are restored; that of the GPU, which nothing here touches, has no saved state."""
    from microg4m_hf.training.checkpoints import _restore_random_state

    checkpoint = save(accelerator, tmp_path, 1)
    drawn = torch.rand(3)
    with_a_gpu = SimpleNamespace(num_processes=1, process_index=0, is_main_process=True, device=torch.device("cuda", 0))
    _restore_random_state(with_a_gpu, checkpoint)  # type: ignore[arg-type]
    assert "step-00000001 was saved without a GPU" in capsys.readouterr().err
    assert torch.rand(3).equal(drawn)


@pytest.mark.cpu
@pytest.mark.parametrize("step", [2, 3])
def test_a_kill_at_any_step_of_saving_loses_one_checkpoint_at_most(
    accelerator: Accelerator, tmp_path: Path, step: int
) -> None:
    """Also while the checkpoint of the same step is replaced."""
    for number in (1, 2):
        save(accelerator, tmp_path / "whole", number)
    steps = count_steps(lambda: save(accelerator, tmp_path / "whole", step))
    shutil.rmtree(tmp_path / "whole")
    assert steps > 10
    for kill in range(1, steps + 1):
        folder = tmp_path / str(kill)
        for number in (1, 2):
            save(accelerator, folder, number)
        assert kill_at_step(kill, lambda to=folder: save(accelerator, to, step))  # type: ignore[misc]
        assert load_newest(accelerator, folder) in (2, step)
        assert {path.name for path in folder.iterdir()} == {path.name for path in list_checkpoints(folder)}
        shutil.rmtree(folder)


def test_adapter_checkpoints_are_checked_as_well(accelerator: Accelerator, tmp_path: Path) -> None:
    from microg4m_hf.training.checkpoints import load_adapter_checkpoint

    weight = torch.ones(2)
    for step in (1, 2, 3):
        save_adapter_checkpoint(tmp_path, step, {"a.weight": step * weight}, {"state": {}})
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000002", "step-00000003"]
    _flip_a_byte(tmp_path / "step-00000003" / "adapter.safetensors")
    found = load_adapter_checkpoint(accelerator, tmp_path)
    assert found is not None
    assert found[0] == 2
    assert found[1]["a.weight"].equal(2 * weight)


def test_a_run_with_a_damaged_checkpoint_goes_on_exactly(trainers: Trainers, tmp_path: Path, finished: Path) -> None:
    """The steps after the earlier checkpoint are taken again, with the same losses."""
    recipe, runs = write_recipe(tmp_path), [tmp_path / "whole", tmp_path / "damaged"]
    for run in runs:
        shutil.copytree(finished, run)
    _truncate(runs[1] / "checkpoints" / "step-00000010" / "model.safetensors")
    for run in runs:
        trainers.start(recipe, run, "loop.max_steps=11").finish()
    assert "resuming at step 8" in (tmp_path / "log.txt").read_text()
    assert losses(runs[0]) == losses(runs[1])
    assert len(losses(runs[0])) == 11
