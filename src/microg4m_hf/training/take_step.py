"""One optimiser step that survives a full memory and stops at a loss that is no number."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from .recipe import Recipe
from .run_folder import RunFolder
from .step import NotFinite, accumulate, out_of_memory

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


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
            if not out_of_memory(error) or micro == 1:
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
