"""One optimizer step: loss and gradients in as many micro batches as memory requires.

Retry with smaller micro batches after out-of-memory, and fail on a NaN loss.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from ..runtime import is_out_of_memory
from .loading.batches import ClipMemory
from .loading.transforms import render
from .losses import Loss, build_loss, consistency, quarter_of_copy
from .recipe import Loop, Recipe
from .run_folder import RunFolder

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


class _Snapshot:
    """What a forward pass changes besides gradients: random numbers and the running statistics of BatchNorm."""

    def __init__(self, accelerator: Accelerator, model: torch.nn.Module) -> None:
        import torch
        from torch.nn.modules.batchnorm import _BatchNorm

        self.device = accelerator.device
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
        self.statistics: list[torch.Tensor] = [
            value for norm in norms for value in (norm.running_mean, norm.running_var) if value is not None
        ]
        # One copy of all of them: a GPU would start as many kernels as there are statistics.
        self.values = torch.cat(self.statistics) if self.statistics else None
        self.random = torch.get_rng_state()
        self.random_of_gpu = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None

    def restore(self) -> None:
        import torch

        torch.set_rng_state(self.random)
        if self.random_of_gpu is not None:
            torch.cuda.set_rng_state(self.random_of_gpu, self.device)
        if self.values is not None:
            parts = self.values.split([len(one) for one in self.statistics])
            for target, values in zip(self.statistics, parts, strict=True):
                target.copy_(values)


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite."""


def training_step(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: dict[str, Any],
    recipe: Recipe,
    run: RunFolder,
    micro_batch: int,
    loss: Loss | None = None,
    number: int = 0,
    meanwhile: Callable[[], None] | None = None,
    memory: ClipMemory | None = None,
) -> tuple[float, int]:
    """Take optimizer step ``number``, and return the loss and the micro batch that fit into memory.

    ``meanwhile`` is called when the forward and backward passes are queued, before the loss is waited for. Clips are
    rendered into ``memory``, that of the step before.

    After out-of-memory the micro batch is halved and the step starts again, as if the first try had not been: with
    the same random numbers, and with the running statistics of BatchNorm from before. A NaN loss, and a process of
    several that runs out of memory, end the run with a RecipeError.
    """
    import torch

    snapshot = _Snapshot(accelerator, model) if micro_batch > 1 and accelerator.num_processes == 1 else None
    while True:
        try:
            value = accumulate_gradients(
                accelerator,
                model,
                batch,
                recipe.loop,
                micro_batch,
                loss=loss,
                number=number,
                meanwhile=meanwhile,
                memory=memory,
            )
            break
        except NonFiniteLoss as error:
            file = _save_bad_batch(run, batch, accelerator.process_index)
            raise RecipeError(
                f"{error} (the batch is in {file}); lower optim.lr, or use loop.mixed_precision=no"
            ) from None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if micro_batch == 1:
                raise RecipeError(
                    "out of memory with one clip; use loop.mixed_precision=bf16, a smaller data.crop, or a device with "
                    "more memory"
                ) from None
            smaller = math.ceil(micro_batch / 2)
            if snapshot is None:  # the other processes are inside a collective of this step
                raise RecipeError(
                    f"out of memory with {micro_batch} clips at once; run the same command with "
                    f"loop.micro_batch={smaller}, it resumes at the last checkpoint"
                ) from None
            effect = "each with its own BatchNorm statistics" if snapshot.statistics else "with the same result"
            print(
                f"out of memory with {micro_batch} clips at once: now {smaller} at once and "
                f"{math.ceil(len(batch['windows']) / smaller)} micro batches per step, {effect}",
                file=sys.stderr,
            )
            micro_batch = smaller
            optimizer.zero_grad()
            snapshot.restore()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    if recipe.optim.clip_norm is not None:
        accelerator.clip_grad_norm_(model.parameters(), recipe.optim.clip_norm)
    optimizer.step()
    optimizer.zero_grad()
    return value, micro_batch


def accumulate_gradients(
    accelerator: Accelerator,
    model: torch.nn.Module,
    batch: dict[str, Any],
    loop: Loop,
    micro_batch: int,
    *,
    loss: Loss | None = None,
    number: int = 0,
    meanwhile: Callable[[], None] | None = None,
    memory: ClipMemory | None = None,
) -> float:
    """Run forward and backward over a process's share of a step; gradients stay on the parameters.

    The loss is the mean over boxes and classes of ``loss``, by default the one that ``loop`` names. With
    ``loop.consistency``, the difference to copies of the clips is added, turned as the ``number`` of the step says.
    Every box has the same weight however the share is divided: micro batches add up sums divided by the number of boxes
    in the share (``per_process``) or in all shares (``global``). The returned value is the mean over processes, so that
    all of them notice when one of them has a NaN.
    """
    import torch

    device, config = accelerator.device, accelerator.unwrap_model(model).config
    loss = loss or build_loss(loop, ())
    total = batch["weights"].to(device).sum()
    if loop.loss_mean == "global":
        total = accelerator.reduce(total, "sum") / accelerator.num_processes
    total = total.clamp(min=1e-12)
    loss_sum = torch.zeros((), device=device)
    parts, memory = list(_micro_batches(batch, micro_batch)), memory or ClipMemory()
    try:
        for place, part in enumerate(parts):
            accelerator.sync_gradients = place == len(parts) - 1  # DeepSpeed steps inside the last backward
            with _no_sync(accelerator, model), accelerator.autocast():
                clips = memory.render(part["windows"], part["geometries"], config, device)
                boxes = [box.to(device) for box in part["boxes"]]
                if loop.consistency:
                    clips, boxes = _with_turned_copies(clips, boxes, part["indices"], number)
                logits, labels = model(pixel_values=clips, boxes=boxes).logits.float(), part["labels"].to(device)
                losses = loss(logits[: len(labels)], labels).mean(1)
                if loop.consistency:
                    apart = consistency(logits[: len(labels)], logits[len(labels) :])
                    losses = losses + loop.consistency * apart.mean(1)
                weighted = (losses * part["weights"].to(device)).sum() / total
                accelerator.backward(weighted)
            loss_sum += weighted.detach()
    finally:
        accelerator.sync_gradients = True  # otherwise zero_grad of Accelerate's optimizer would do nothing
    if meanwhile is not None:
        meanwhile()
    value = float(accelerator.reduce(loss_sum, "mean"))
    if not math.isfinite(value):
        raise NonFiniteLoss("the loss is not finite")
    return value


def _with_turned_copies(
    clips: torch.Tensor, boxes: list[torch.Tensor], indices: Sequence[int], number: int
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Append a turned copy of every clip: one forward pass of both gives DDP and BatchNorm one batch."""
    import torch

    from ..models.inputs import turn_boxes, turn_clips

    quarters = [quarter_of_copy(number, index) for index in indices]
    copies = torch.stack([turn_clips(clip, turn) for clip, turn in zip(clips, quarters, strict=True)])
    return torch.cat([clips, copies]), [*boxes, *(turn_boxes(b, turn) for b, turn in zip(boxes, quarters, strict=True))]


def _no_sync(accelerator: Accelerator, model: torch.nn.Module) -> contextlib.AbstractContextManager[Any]:
    """Exchange gradients only after the last micro batch; DeepSpeed does this by itself."""
    from accelerate.utils import DistributedType

    if accelerator.sync_gradients or accelerator.distributed_type == DistributedType.DEEPSPEED:
        return contextlib.nullcontext()
    return accelerator.no_sync(model)


def _micro_batches(batch: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    ends = [0]
    for boxes in batch["boxes"]:
        ends.append(ends[-1] + len(boxes))
    for start in range(0, len(batch["windows"]), size):
        stop = min(start + size, len(batch["windows"]))
        rows = slice(ends[start], ends[stop])
        part = {name: batch[name][start:stop] for name in ("indices", "windows", "geometries", "boxes")}
        yield part | {"labels": batch["labels"][rows], "weights": batch["weights"][rows]}


def _save_bad_batch(run: RunFolder, batch: dict[str, Any], rank: int) -> str:
    """Save the batch of a NaN loss as plain arrays: the pixels that the model saw as uint8 ``(T, H, W, 3)``."""
    import numpy as np

    path = run.path / f"bad_batch_rank{rank}.npz"
    seen = [render(window.cpu(), how) for window, how in zip(batch["windows"], batch["geometries"], strict=True)]
    windows: dict[str, Any] = {
        f"window_{number}": clip.round().byte().permute(1, 2, 3, 0).numpy() for number, clip in enumerate(seen)
    }
    boxes = {f"boxes_{number}": box.numpy() for number, box in enumerate(batch["boxes"])}
    np.savez_compressed(path, indices=batch["indices"], labels=batch["labels"].numpy(), **windows, **boxes)
    return str(path)
