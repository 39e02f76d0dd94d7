"""A built network made ready to train: memory layout, compilation, optimiser, and whatever Accelerate wraps around."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import TYPE_CHECKING

from ..runtime import is_main_process
from .optim import build_optimizer
from .recipe import Recipe

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


def prepare(
    accelerator: Accelerator, network: torch.nn.Module, recipe: Recipe
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """The model and the optimiser as the loop takes them, on the device and for any number of processes."""
    import torch

    if recipe.loop.channels_last and _channels_last_fits(accelerator):
        network = network.to(memory_format=torch.channels_last_3d)
    # Compiling what is sharded was never tried on GPUs, so it wants to be asked for by name.
    backend = None if recipe.loop.compile == "auto" and sharded(accelerator) else compile_backend(recipe.loop.compile)
    if backend is not None:
        network.backbone.compile(backend=backend)  # type: ignore[union-attr]
    network = network.to(accelerator.device)
    model, optimizer = accelerator.prepare(network, build_optimizer(network, recipe.optim))
    # Validation is in fp32, as it was in the published runs; a training step enters autocast by itself.
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return model, optimizer


def compile_backend(asked: str | None) -> str | None:
    """A backend's name as it was asked for; of ``"auto"``, inductor where a GPU, Triton and a C compiler can.

    On a CPU compiling takes longer than most trials, so there ``"auto"`` does not; ``"inductor"`` does.

    >>> compile_backend("aot_eager")
    'aot_eager'
    """
    if asked != "auto":
        return asked
    import torch

    if not torch.cuda.is_available():
        return None
    missing = _missing(torch.cuda.get_device_capability())
    if missing and is_main_process():
        print(f"not compiled: {missing}; loop.compile=null says so for good", file=sys.stderr)
    return None if missing else "inductor"


def _missing(capability: tuple[int, int]) -> str | None:
    """What inductor lacks on this GPU.

    >>> _missing((6, 1))
    'Triton needs a GPU of compute capability 7.0, this one has 6.1'
    """
    if capability < (7, 0):
        return f"Triton needs a GPU of compute capability 7.0, this one has {capability[0]}.{capability[1]}"
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    if not (os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang")))):
        return "Triton needs a C compiler (Debian: apt install gcc)"
    return None


def sharded(accelerator: Accelerator) -> bool:
    """Whether no process holds the whole model."""
    from accelerate.utils import DistributedType

    return accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)


def _channels_last_fits(accelerator: Accelerator) -> bool:
    """Whether weights may lie channels last: FSDP and DeepSpeed take contiguous ones only."""
    if sharded(accelerator) and accelerator.is_main_process:
        name = accelerator.distributed_type.value
        print(f"{name} takes contiguous weights only: channels first (loop.channels_last=false)", file=sys.stderr)
    return not sharded(accelerator)
