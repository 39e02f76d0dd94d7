"""The training loop, top to bottom: order, step, log, checkpoint, evaluate, go on."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..runtime import is_main_process
from . import checkpoints
from .checkpoints import Progress
from .dataset import KeyFrameWindows, collate, left_out
from .optim import learning_rate
from .prepare import sharded
from .recipe import Recipe
from .run_folder import RunFolder
from .sampler import RunBatches, steps_in_epoch
from .step import take_step

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

Evaluate = Callable[["torch.nn.Module"], float]  # a model to its validation mAP


def train(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    items: KeyFrameWindows,
    recipe: Recipe,
    run: RunFolder,
    *,
    evaluate: Evaluate,
    keep_best: Callable[[torch.nn.Module, Progress], None],
    average: torch.optim.swa_utils.AveragedModel | None = None,
) -> Progress:
    """Train prepared objects until the recipe's end; goes on from the newest checkpoint of the run folder."""
    from tqdm import tqdm

    progress = Progress()
    found = checkpoints.whole(run.checkpoints)
    if found:
        progress = checkpoints.restore(accelerator, found[-1])
        if accelerator.is_main_process:
            print(f"going on from step {progress.step} ({found[-1]})", file=sys.stderr)
    if accelerator.is_main_process:
        run.forget_after(progress.step)
        checkpoints.clean(run.checkpoints)
    accelerator.wait_for_everyone()

    steps = steps_in_epoch(len(items), recipe.loop.batch)
    end = steps * recipe.schedule.epochs
    if recipe.loop.max_steps is not None:
        end = min(end, recipe.loop.max_steps)
    bar = tqdm(total=end, initial=progress.step, desc="training", unit="step", disable=not is_main_process())
    share = math.ceil(recipe.loop.batch / accelerator.num_processes)
    micro = min(recipe.loop.micro_batch or share, share)

    training_mode(model, recipe)
    loader = _loader(items, recipe, progress.step, end, accelerator)
    skipped, waited = 0, time.perf_counter()
    for batch in loader:
        began = time.perf_counter()
        skipped += left_out(batch["faults"], items.data.on_error)
        rate = learning_rate(recipe.optim.lr, recipe.schedule, progress.step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, micro = take_step(accelerator, model, optimizer, batch, recipe, run, micro)
        if average is not None:
            average.update_parameters(accelerator.unwrap_model(model))
        ended = time.perf_counter()
        progress.step += 1
        if accelerator.is_main_process:
            times = {"wait_s": round(began - waited, 4), "step_s": round(ended - began, 4)}
            run.log({"step": progress.step, "epoch": progress.step / steps, "loss": loss, "lr": rate, **times})
        accelerator.log({"loss": loss, "lr": rate}, step=progress.step)
        bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        bar.update()

        last, epoch_over = progress.step == end, progress.step % steps == 0
        every = recipe.loop.checkpoint_every
        saves = last or epoch_over or (every > 0 and progress.step % every == 0)
        if saves:
            share_statistics(accelerator, model)
        if last or (epoch_over and progress.step // steps % recipe.loop.eval_every == 0):
            shown = model if average is None else average.module
            _evaluate(accelerator, shown, progress, run, evaluate, keep_best)
            training_mode(model, recipe)
        if saves:
            progress.skipped_clips += total(accelerator, skipped)
            skipped = 0
            checkpoints.save(accelerator, run.checkpoints, progress, recipe.loop.keep_checkpoints)
        waited = time.perf_counter()
    bar.close()
    return progress


def training_mode(model: torch.nn.Module, recipe: Recipe) -> None:
    """Switch dropout and BatchNorm to training; ``batch_norm: frozen`` leaves the latter as it was loaded."""
    from torch.nn.modules.batchnorm import _BatchNorm

    model.train()
    if recipe.loop.batch_norm == "frozen":
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def share_statistics(accelerator: Accelerator, model: torch.nn.Module) -> None:
    """The running statistics of the first process for all: DDP sees to it at every step, FSDP and DeepSpeed never."""
    import torch

    if sharded(accelerator):
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def total(accelerator: Accelerator, count: int) -> int:
    """A number added up over all processes."""
    import torch

    return int(accelerator.reduce(torch.tensor(count, device=accelerator.device), "sum"))


def _evaluate(
    accelerator: Accelerator,
    model: torch.nn.Module,
    progress: Progress,
    run: RunFolder,
    evaluate: Evaluate,
    keep_best: Callable[[torch.nn.Module, Progress], None],
) -> None:
    """Score the model on the validation split and keep it if it is the best so far."""
    score = evaluate(model)
    accelerator.log({"validation_map": score}, step=progress.step)
    if accelerator.is_main_process:
        run.log({"step": progress.step, "validation_map": score})
    if score > progress.best:
        progress.best, progress.best_step = score, progress.step
        keep_best(model, progress)


def _loader(items: KeyFrameWindows, recipe: Recipe, first_step: int, end_step: int, accelerator: Accelerator) -> Any:
    """All remaining batches of this process, in one loader."""
    import torch
    from torch.utils.data import DataLoader

    batches = RunBatches(
        count=len(items),
        batch=recipe.loop.batch,
        seed=recipe.loop.seed,
        first_step=first_step,
        end_step=end_step,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    return DataLoader(
        items,  # type: ignore[arg-type]  # a mapping from (epoch, index), which is what the batch sampler yields
        batch_sampler=batches,
        num_workers=recipe.data.workers,
        collate_fn=collate,
        pin_memory=accelerator.device.type == "cuda",
        generator=torch.Generator().manual_seed(recipe.loop.seed),  # or the loader would draw from the model's RNG
        prefetch_factor=2 if recipe.data.workers else None,
    )
