"""One optimiser step: the loss over ragged boxes, its gradients in as many pieces as memory allows."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from ..runtime import is_out_of_memory
from .recipe import Loop, Recipe
from .run_folder import RunFolder
from .transforms import render_batch

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


class NotFinite(RuntimeError):
    """The loss became NaN or infinite; ``batch`` is what it happened on."""

    def __init__(self, batch: dict[str, Any]) -> None:
        super().__init__("the loss is not finite")
        self.batch = batch


def accumulate(
    accelerator: Accelerator, model: torch.nn.Module, batch: dict[str, Any], loop: Loop, micro_batch: int
) -> float:
    """Forward and backward over a process's share of a step; gradients are left on the parameters.

    The loss is the mean of BCE-with-logits over boxes and classes. However the share is cut, every box weighs the
    same: pieces add up sums divided by the count of the whole share (``per_process``) or of all shares (``global``).
    The value is the mean over the processes, so that all of them notice when one of them meets a NaN.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as bce

    device, config = accelerator.device, accelerator.unwrap_model(model).config
    weights = batch["weights"].to(device)
    total = weights.sum()
    if loop.loss_mean == "global":
        total = accelerator.reduce(total, "sum") / accelerator.num_processes
    total = total.clamp(min=1e-12)
    loss_sum = torch.zeros((), device=device)
    pieces = list(_pieces(batch, micro_batch))
    try:
        for place, piece in enumerate(pieces):
            accelerator.sync_gradients = place == len(pieces) - 1  # DeepSpeed takes its step inside the last backward
            with _unsynchronised(accelerator, model), accelerator.autocast():
                clips = render_batch([window.to(device) for window in piece["windows"]], piece["geometries"], config)
                boxes = [box.to(device) for box in piece["boxes"]]
                logits = model(pixel_values=clips, boxes=boxes).logits.float()
                each = bce(logits, piece["labels"].to(device), reduction="none").mean(1)
                loss = (each * piece["weights"].to(device)).sum() / total
                accelerator.backward(loss)
            loss_sum += loss.detach()
    finally:
        accelerator.sync_gradients = True  # while it is not, no optimiser of Accelerate's forgets a gradient
    value = float(accelerator.reduce(loss_sum, "mean"))
    if not math.isfinite(value):
        raise NotFinite(batch)
    return value


def _unsynchronised(accelerator: Accelerator, model: torch.nn.Module) -> contextlib.AbstractContextManager[Any]:
    """Keeps the gradients of all but the last piece at home; DeepSpeed does so by itself."""
    from accelerate.utils import DistributedType

    if accelerator.sync_gradients or accelerator.distributed_type == DistributedType.DEEPSPEED:
        return contextlib.nullcontext()
    return accelerator.no_sync(model)


def _pieces(batch: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """The share in pieces of ``size`` clips."""
    ends = [0]
    for boxes in batch["boxes"]:
        ends.append(ends[-1] + len(boxes))
    for start in range(0, len(batch["windows"]), size):
        stop = min(start + size, len(batch["windows"]))
        rows = slice(ends[start], ends[stop])
        piece = {name: batch[name][start:stop] for name in ("windows", "geometries", "boxes")}
        yield piece | {"labels": batch["labels"][rows], "weights": batch["weights"][rows]}


# One optimiser step that survives a full memory and stops at a loss that is no number.


def take_step(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: dict[str, Any],
    recipe: Recipe,
    run: RunFolder,
    micro: int,
) -> tuple[float, int]:
    """One optimiser step; when memory runs out the pieces are halved and the step is taken again."""
    import torch

    while True:
        state = torch.get_rng_state()
        try:
            loss = accumulate(accelerator, model, batch, recipe.loop, micro)
            break
        except NotFinite as error:
            where = save_bad_batch(run, batch, accelerator.process_index)
            raise RecipeError(
                f"{error}; the batch is in {where}. Lower optim.lr or use loop.mixed_precision=no"
            ) from None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or micro == 1:
                raise
            smaller = math.ceil(micro / 2)
            if accelerator.num_processes > 1:  # the other processes are inside a collective of the old step
                raise RecipeError(
                    f"out of memory with {micro} clips at once; run the same command with loop.micro_batch={smaller}, "
                    "it goes on from the last checkpoint"
                ) from None
            print(
                f"out of memory with {micro} clips at once: now {smaller} at once and "
                f"{math.ceil(len(batch['windows']) / smaller)} pieces a step, the step stays the same",
                file=sys.stderr,
            )
            micro = smaller
            optimizer.zero_grad()
            torch.set_rng_state(state)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    if recipe.optim.clip_norm is not None:
        accelerator.clip_grad_norm_(model.parameters(), recipe.optim.clip_norm)
    optimizer.step()
    optimizer.zero_grad()
    return loss, micro


def save_bad_batch(run: RunFolder, batch: dict[str, Any], rank: int) -> str:
    """Keep the batch that broke the loss, as plain arrays."""
    import numpy as np

    path = run.path / f"bad_batch_rank{rank}.npz"
    windows = {f"window_{place}": window.numpy() for place, window in enumerate(batch["windows"])}
    boxes = {f"boxes_{place}": box.numpy() for place, box in enumerate(batch["boxes"])}
    np.savez_compressed(path, indices=batch["indices"], labels=batch["labels"].numpy(), **windows, **boxes)
    return str(path)
