"""A run folder has one training at a time, and signals end a training with a checkpoint."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from tests.support.train_runs import Trainers, losses, run_command, steps_logged, write_recipe
from tests.support.warm_python import warm_python


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("number", "processes", "to"),
    [
        pytest.param(signal.SIGTERM, 1, "group", id="SIGTERM to the group, workers included"),
        pytest.param(signal.SIGINT, 1, "group", id="Ctrl-C"),
        pytest.param(signal.SIGUSR1, 2, "rank 1", id="SIGUSR1 to one of two processes"),
    ],
)
def test_a_signal_writes_a_checkpoint(
    trainers: Trainers, tmp_path: Path, finished: Path, number: signal.Signals, processes: int, to: str
) -> None:
    """Checkpoints are due at step 100 only, so the signal has written the one that the second start resumes."""
    recipe, out = write_recipe(tmp_path), tmp_path / "run"
    words = ("loop.checkpoint_every=100",)
    training = trainers.start(recipe, out, *words, processes=processes)
    training.reach(3)
    if to == "group":
        os.killpg(training.pids[0], number)
    else:
        os.kill(training.pids[1], number)
    assert training.ended() == [128 + number] * processes
    log = training.log.read_text()
    stopped = steps_logged(out)
    last = f"microg4m: {number.name}: stopped after step {stopped}, whose checkpoint is complete"
    assert log.count(last) == 1, log[-3000:]
    assert "Traceback" not in log
    assert not (out / ".lock").exists()
    trainers.start(recipe, out, *words, processes=processes).finish()
    assert f"resuming at step {stopped}" in training.log.read_text()
    if processes == 1:  # to the bit as in a run that was never stopped
        assert losses(out) == losses(finished)
        weights = [load_file(run / "model" / "model.safetensors") for run in (out, finished)]
        assert all(values.tobytes() == weights[1][name].tobytes() for name, values in weights[0].items())


def test_a_validation_that_a_signal_interrupts_is_made_up_for(
    trainers: Trainers, tmp_path: Path, finished: Path
) -> None:
    """The log has the loss of the last step before the validation begins."""
    recipe, out = write_recipe(tmp_path), tmp_path / "run"
    training = trainers.start(recipe, out)
    training.reach(10)
    os.kill(training.pids[0], signal.SIGTERM)
    assert training.ended() == [128 + signal.SIGTERM]
    assert "Traceback" not in training.log.read_text()
    trainers.start(recipe, out).finish()
    results = [json.loads((run / "results.json").read_text()) for run in (out, finished)]
    assert results[0]["validation_map"] == results[1]["validation_map"]
    assert results[0]["test"]["scores"] == results[1]["test"]["scores"]


def test_a_stopped_run_can_end_with_fewer_steps_than_it_has(trainers: Trainers, tmp_path: Path) -> None:
    """Nothing was validated before the signal, so the weights of the checkpoint are."""
    recipe, out = write_recipe(tmp_path), tmp_path / "run"
    training = trainers.start(recipe, out)
    training.reach(3)
    os.kill(training.pids[0], signal.SIGTERM)
    assert training.ended() == [128 + signal.SIGTERM]
    stopped = steps_logged(out)
    trainers.start(recipe, out, "loop.max_steps=2").finish()
    results = json.loads((out / "results.json").read_text())
    assert (results["steps"], results["best_step"]) == (stopped, stopped)


@pytest.mark.cpu
def test_a_signal_during_the_last_checkpoint_ends_the_run_before_its_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real checkpoint is written, and the signal comes while it is; the next start predicts the test split."""
    from microg4m_hf.errors import StoppedBySignal
    from microg4m_hf.training import RunFolder, load_recipe, loop, run_training

    recipe = load_recipe(write_recipe(tmp_path), ["loop.max_steps=2"])
    save_checkpoint = loop.save_checkpoint

    def save_and_signal(*args: Any, **kwargs: Any) -> None:
        save_checkpoint(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_and_signal)
        with pytest.raises(StoppedBySignal, match="stopped after step 2, whose checkpoint is complete") as stopped:
            run_training(recipe, RunFolder(tmp_path / "run"))
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    assert not (tmp_path / "run" / "results.json").exists()
    assert run_training(recipe, RunFolder(tmp_path / "run"))["scores"]["map"] > 0
    assert steps_logged(tmp_path / "run") == 2


@pytest.mark.parametrize("processes", [1, 2])
def test_one_training_per_run_folder(trainers: Trainers, tmp_path: Path, processes: int) -> None:
    """The lock of a killed training does not outlive it."""
    recipe, out = write_recipe(tmp_path), tmp_path / "run"
    first = trainers.start(recipe, out, "loop.max_steps=400", processes=processes)
    first.reach(1)
    (tmp_path / "other").mkdir()
    second = trainers.start(write_recipe(tmp_path / "other"), out, "loop.max_steps=400", processes=processes)
    assert second.ended() == [2] * processes
    log = second.log.read_text()
    assert log.count("another training uses") == 1
    assert f"(process {first.pids[0]} on " in log
    assert "Traceback" not in log
    first.kill_at(2)
    one_more = f"loop.max_steps={steps_logged(out) + 1}"  # the second one may have taken many steps of the first
    trainers.start(recipe, out, one_more, processes=processes).finish()


@pytest.mark.cpu
def test_an_adapter_training_locks_its_folder_as_well(tmp_path: Path) -> None:
    from accelerate import Accelerator

    from microg4m_hf.errors import RecipeError
    from microg4m_hf.scratch import exclusive
    from microg4m_hf.training.recipe import VlmRecipe
    from microg4m_hf.training.run_folder import RunFolder
    from microg4m_hf.training.vlm import train_adapter

    Accelerator(cpu=True)
    run = RunFolder(tmp_path / "run")
    with exclusive(run.lock) as locked:
        assert locked
        with pytest.raises(RecipeError, match="another training uses"):
            train_adapter(VlmRecipe("a", "b"), run, None, None, [], lambda row: {})


def test_python_that_uses_the_door_gets_a_keyboard_interrupt() -> None:
    """Outside of the loop, a signal ends the training at once, and the handlers are those of before."""
    script = (
        "import os, signal\n"
        "from microg4m_hf.errors import StoppedBySignal\n"
        "from microg4m_hf.training.processes import StopSignals\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "try:\n"
        "    with StopSignals() as stop:\n"
        "        with stop.deferred():\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGUSR1)\n"
        "        except Exception:\n"
        "            print('handled as an error')\n"
        "except KeyboardInterrupt as error:\n"
        "    assert isinstance(error, StoppedBySignal) and error.exit_code == 128 + signal.SIGUSR1\n"
        "    assert signal.getsignal(signal.SIGTERM) == before\n"
        "    print(error)\n"
    )
    ended = run_command([warm_python(), "-c", script])
    assert ended.stdout == "SIGUSR1: stopped; run the same command again to resume\n", ended.stderr
