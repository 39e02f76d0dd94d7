"""The training loop: batches, steps, log, checkpoints, evaluation, and resuming."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import RecipeError, StoppedBySignal
from ..runtime import Progress
from .checkpoints import TrainState, find_checkpoint, load_checkpoint, save_checkpoint
from .loading.batches import ClipMemory, Prefetched
from .loading.dataset import KeyFrameWindows, report_faults, steps_in_epoch
from .loading.loader import run_batches
from .losses import build_loss
from .optim import learning_rate
from .prepare import is_sharded
from .processes import StopSignals
from .recipe import Recipe
from .run_folder import RunFolder
from .step import training_step

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


def last_step(recipe: Recipe, key_frames: int) -> int:
    """Return the step at which a run ends, given the number of key frames of the training split."""
    end = steps_in_epoch(key_frames, recipe.loop.batch) * recipe.schedule.epochs
    return end if recipe.loop.max_steps is None else min(end, recipe.loop.max_steps)


def train(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    items: KeyFrameWindows,
    recipe: Recipe,
    run: RunFolder,
    *,
    evaluate: Callable[[torch.nn.Module], float],
    save_best: Callable[[torch.nn.Module], None],
    average: torch.optim.swa_utils.AveragedModel | None = None,
    stop: StopSignals,
) -> TrainState:
    """Train to the end of the recipe, from the newest checkpoint in the run folder if there is one.

    ``evaluate`` returns the validation mAP of a model, and ``save_best`` saves one with the best mAP so far. With
    ``average``, they get the averaged copy. After a signal to ``stop``, a checkpoint is written and the loop raises
    :class:`StoppedBySignal`; a validation that is interrupted is the first thing that a resumed run does.
    """
    import torch

    state = _resume(accelerator, run)
    steps = steps_in_epoch(len(items), recipe.loop.batch)
    end = last_step(recipe, len(items))
    share = math.ceil(recipe.loop.batch / accelerator.num_processes)
    micro_batch = min(recipe.loop.micro_batch or share, share)
    if is_sharded(accelerator):
        _check_micro_batches(min(recipe.loop.batch, len(items)), accelerator.num_processes, micro_batch)
    loss = build_loss(recipe.loop, items.items)

    def validate() -> None:
        candidate = model if average is None else average.module
        _broadcast_buffers(accelerator, candidate)
        score = evaluate(candidate)
        accelerator.log({"validation_map": score}, step=state.step)
        if accelerator.is_main_process:
            run.log({"step": state.step, "validation_map": score})
        if score > state.best:
            state.best, state.best_step = score, state.step
            save_best(candidate)
        set_training_mode(model, recipe)
        state.validated = True

    def save() -> None:
        save_checkpoint(accelerator, run.checkpoints, state, recipe.loop.keep_checkpoints)

    set_training_mode(model, recipe)
    past_the_end = state.best_step < 0 and state.step >= end  # stopped before a validation, now with fewer steps
    if not state.validated or past_the_end:
        validate()
        save()
    shown = Progress("training", end, unit="step", initial=state.step)
    batches = Prefetched(run_batches(items, recipe, state.step, end, accelerator), accelerator.device)
    memory, skipped, began = ClipMemory(), 0, time.perf_counter()
    for batch in batches:
        skipped += report_faults(batch["faults"], items.data.on_error)
        rate = learning_rate(recipe.optim.lr, recipe.schedule, state.step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        value, micro_batch = training_step(
            accelerator, model, optimizer, batch, recipe, run, micro_batch, loss, state.step, batches.fetch_next, memory
        )
        if average is not None:
            average.update_parameters(accelerator.unwrap_model(model))
        waited = batches.waited()
        spent = time.perf_counter() - began - waited
        state.step += 1
        if accelerator.is_main_process:
            times = {"wait_s": round(waited, 4), "step_s": round(spent, 4)}
            run.log({"step": state.step, "epoch": state.step / steps, "loss": value, "lr": rate, **times})
        accelerator.log({"loss": value, "lr": rate}, step=state.step)
        shown.update(loss=f"{value:.4f}")

        last, epoch_ends = state.step == end, state.step % steps == 0
        every = recipe.loop.checkpoint_every
        stopped_by = stop.requested(accelerator)
        saves = last or epoch_ends or (every > 0 and state.step % every == 0) or stopped_by > 0
        if saves:
            _broadcast_buffers(accelerator, model)
        if last or (epoch_ends and state.step // steps % recipe.loop.eval_every == 0):
            state.validated = False
            if not stopped_by:
                try:
                    validate()
                except StoppedBySignal as error:
                    stopped_by = error.number
        if saves:
            state.skipped_clips += int(accelerator.reduce(torch.tensor(skipped, device=accelerator.device), "sum"))
            skipped = 0
            save()
        if stopped_by:
            shown.close()
            raise StoppedBySignal(stopped_by, state.step)
        began = time.perf_counter()
    shown.close()
    return state


def set_training_mode(model: torch.nn.Module, recipe: Recipe) -> None:
    """Set dropout and BatchNorm to training mode; with ``batch_norm: frozen``, BatchNorm stays in evaluation mode."""
    from torch.nn.modules.batchnorm import _BatchNorm

    model.train()
    if recipe.loop.batch_norm == "frozen":
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def _resume(accelerator: Accelerator, run: RunFolder) -> TrainState:
    """Load the newest checkpoint, and remove what a stopped process wrote after it."""
    state = TrainState()
    checkpoint = find_checkpoint(accelerator, run.checkpoints)
    if checkpoint is not None:
        state = load_checkpoint(accelerator, checkpoint)
        if accelerator.is_main_process:
            print(f"resuming at step {state.step} ({checkpoint})", file=sys.stderr)
    if accelerator.is_main_process:
        run.truncate_log(state.step)
    accelerator.wait_for_everyone()
    return state


def _broadcast_buffers(accelerator: Accelerator, model: torch.nn.Module) -> None:
    """Give all ranks the running statistics of rank 0.

    DDP does so before each forward pass of training; FSDP, DeepSpeed and an averaged copy of the weights never.
    """
    import torch

    if accelerator.num_processes > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def _check_micro_batches(batch: int, processes: int, micro_batch: int) -> None:
    """Processes that share one model take their forward passes together, so all need the same number of them.

    >>> _check_micro_batches(64, 3, 22)
    >>> _check_micro_batches(2, 4, 1)
    >>> _check_micro_batches(64, 3, 7)
    Traceback (most recent call last):
    microg4m_hf.errors.RecipeError: 64 key frames in micro batches of 7 on 3 processes are 4 forward passes \
on some and 3 on others, which a sharded model does not allow; use a loop.batch that 3 divides, or loop.micro_batch=8
    """
    least, most = math.floor(batch / processes), math.ceil(batch / processes)

    def equal(size: int) -> bool:
        return math.ceil(least / size) == math.ceil(most / size)

    if least and not equal(micro_batch):  # run_batches refuses fewer key frames than processes
        fitting = next(size for size in range(micro_batch, most + 1) if equal(size))
        raise RecipeError(
            f"{batch} key frames in micro batches of {micro_batch} on {processes} processes are "
            f"{math.ceil(most / micro_batch)} forward passes on some and {math.ceil(least / micro_batch)} on others, "
            f"which a sharded model does not allow; use a loop.batch that {processes} divides, or "
            f"loop.micro_batch={fitting}"
        )
