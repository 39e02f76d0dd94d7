"""Failures during training: unreadable clips, NaN losses, killed workers, out-of-memory."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from microg4m_hf.data import ensure_sample
from microg4m_hf.errors import RecipeError
from microg4m_hf.training import Recipe
from tests.support.train_runs import Trainers, losses, write_recipe


@pytest.fixture
def broken_data(tmp_path: Path) -> Path:
    """The sample with one training clip whose frame data is overwritten; its frame index is intact."""
    folder = tmp_path / "data"
    shutil.copytree(ensure_sample(), folder)
    from microg4m_hf import load_dataset

    rows = load_dataset("har", split="train", data_dir=folder)
    clip = Path(rows[3]["video"]["path"])  # type: ignore[index,call-overload]
    assert folder in clip.parents
    content = bytearray(clip.read_bytes())
    start = content.find(b"mdat") + 4
    content[start : len(content) // 2] = b"\xff" * (len(content) // 2 - start)
    clip.write_bytes(content)
    return folder


def test_unreadable_clip_stops_the_run_or_is_skipped(trainers: Trainers, tmp_path: Path, broken_data: Path) -> None:
    recipe = write_recipe(tmp_path)
    words = (f"data.data_dir={broken_data}", "data.source=null", "loop.max_steps=6")
    stopped = trainers.start(recipe, tmp_path / "stopped", *words)
    assert stopped.ended() == [2]
    assert "set data.on_error=skip to continue" in stopped.log.read_text()
    assert "Traceback" not in stopped.log.read_text()

    training = trainers.start(recipe, tmp_path / "continued", *words, "data.on_error=skip")
    training.finish()
    skipped = training.log.read_text().count("skipped: ")
    assert skipped > 0
    assert json.loads((tmp_path / "continued" / "results.json").read_text())["skipped_clips"] == skipped


def test_nan_loss_stops_the_run_and_saves_the_batch(trainers: Trainers, tmp_path: Path) -> None:
    words = ("optim.lr=1e30", "schedule.warmup_epochs=0.0", "model.overrides.check_inputs=false")
    training = trainers.start(write_recipe(tmp_path), tmp_path / "run", *words)
    assert training.ended() == [2]
    assert "the loss is not finite (the batch is in" in training.log.read_text()
    batch = np.load(tmp_path / "run" / "bad_batch_rank0.npz")
    assert batch["window_0"].dtype == np.uint8
    assert len(batch["indices"]) == 8
    assert all(np.isfinite(loss) for loss in losses(tmp_path / "run").values())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker processes in /proc")
def test_a_killed_loader_of_one_rank_ends_the_run(trainers: Trainers, tmp_path: Path) -> None:
    training = trainers.start(write_recipe(tmp_path), tmp_path / "run", "loop.max_steps=400", processes=2)
    training.reach(3)
    victim = training.pids[1]
    children = Path(f"/proc/{victim}/task/{victim}/children").read_text().split()
    assert children
    os.kill(int(children[0]), signal.SIGKILL)
    codes = training.ended()
    assert codes[1] == 2
    assert codes[0] not in (0, -signal.SIGKILL)  # the other rank ends by itself
    assert "a process that decodes clips died" in training.log.read_text()


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), EOFError()])
def test_worker_killed_while_it_sends_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """The rank can see a broken connection before torch reports the dead process."""
    from microg4m_hf.training import har
    from microg4m_hf.training.loading.loader import receive_items

    class Broken:
        def __iter__(self) -> Any:
            yield {}
            raise error

    monkeypatch.setattr(har, "run_training", lambda recipe, run: list(receive_items(Broken())))
    assert har.main(["--config", str(write_recipe(tmp_path)), "--out", str(tmp_path / "run")]) == 2
    assert "a process that decodes clips died" in capsys.readouterr().err


def one_step(
    recipe: Recipe, folder: Path, micro_batch: int, fails: Callable[[int, int], bool]
) -> tuple[float, int, torch.nn.Module]:
    """Train one step with a layer that asks the allocator for more memory than there is, where ``fails`` says so."""
    from accelerate import Accelerator

    from microg4m_hf.training.build import build_model, split_items
    from microg4m_hf.training.loading.dataset import KeyFrameWindows, collate
    from microg4m_hf.training.loop import set_training_mode
    from microg4m_hf.training.prepare import prepare
    from microg4m_hf.training.run_folder import RunFolder
    from microg4m_hf.training.step import training_step

    accelerator = Accelerator(cpu=True)
    items = KeyFrameWindows(split_items(recipe.data, "train"), recipe.data, training=True)
    batch = collate([items[place] for place in range(8)])
    model, optimizer = prepare(accelerator, build_model(recipe.model, recipe.data, seed=0), recipe, 8)
    set_training_mode(model, recipe)
    calls = itertools.count(1)

    def allocate(module: torch.nn.Module, inputs: tuple[list[torch.Tensor]]) -> None:
        torch.empty(2**62 if fails(next(calls), len(inputs[0][0])) else 1, dtype=torch.uint8)

    model.backbone.network.s3.register_forward_pre_hook(allocate)  # type: ignore[union-attr]
    torch.manual_seed(0)
    loss, used = training_step(accelerator, model, optimizer, batch, recipe, RunFolder(folder), micro_batch)
    return loss, used, model


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("micro_batch", "fails", "remaining", "messages"),
    [
        pytest.param(
            8, lambda call, clips: clips >= 4, 2, ["8 clips at once: now 4", "4 clips at once: now 2"], id="whole"
        ),
        pytest.param(3, lambda call, clips: call == 2, 2, ["3 clips at once: now 2"], id="second of three pieces"),
    ],
)
def test_out_of_memory_halves_the_micro_batch(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    micro_batch: int,
    fails: Callable[[int, int], bool],
    remaining: int,
    messages: list[str],
) -> None:
    """Without dropout, and with frozen BatchNorm, the step has the same result."""
    from microg4m_hf.training.recipe_io import load_recipe

    words = ["model.overrides.dropout=0.0", "loop.batch_norm=frozen", "data.flip=0.0", "loop.channels_last=false"]
    recipe = load_recipe(write_recipe(tmp_path), words)
    whole, _, expected = one_step(recipe, tmp_path, micro_batch, lambda call, clips: False)
    assert "out of memory" not in capsys.readouterr().err
    loss, used, model = one_step(recipe, tmp_path, micro_batch, fails)
    assert used == remaining
    assert loss == pytest.approx(whole, rel=1e-6)
    for weight, other in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(weight, other, atol=1e-6)
    log = capsys.readouterr().err
    assert all(f"out of memory with {message} at once" in log for message in messages)
    assert log.count("with the same result") == len(messages)


@pytest.mark.cpu
def test_a_try_that_runs_out_of_memory_leaves_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With dropout and BatchNorm in training mode, the step is the one that starts with the smaller micro batch."""
    from microg4m_hf.training.recipe_io import load_recipe

    recipe = load_recipe(write_recipe(tmp_path), ["loop.batch_norm=train", "loop.channels_last=false"])
    expected_loss, _, expected = one_step(recipe, tmp_path, 4, lambda call, clips: False)
    loss, used, model = one_step(recipe, tmp_path, 8, lambda call, clips: clips > 4)
    assert (loss, used) == (expected_loss, 4)
    assert "each with its own BatchNorm statistics" in capsys.readouterr().err
    wanted = expected.state_dict()
    for name, value in model.state_dict().items():
        assert name.endswith("num_batches_tracked") or value.equal(wanted[name]), name


@pytest.mark.cpu
def test_one_clip_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    from microg4m_hf.training.recipe_io import load_recipe

    recipe = load_recipe(write_recipe(tmp_path))
    with pytest.raises(RecipeError, match=r"out of memory with one clip; use loop\.mixed"):
        one_step(recipe, tmp_path, 2, lambda call, clips: True)
