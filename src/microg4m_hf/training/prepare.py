"""Prepare a model for training: memory layout, compilation, optimizer, and the wrappers of Accelerate."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..runtime import is_main_process
from .optim import build_optimizer
from .recipe import Recipe

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from ..models.frozen import FrozenNetwork


# On an H200, inductor takes up to two minutes, and I3D NLN then takes 1.06 ms less for each key frame. SlowFast 8x8,
# whose two pathways leave the GPU idle with and without it, takes 0.28 ms less.
_COMPILING_S, _SAVED_S = 120, {"slowfast": 0.00028}
_SAVED_S_BY_OTHERS = 0.00106


def prepare(
    accelerator: Accelerator, network: torch.nn.Module, recipe: Recipe, key_frames: int
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Return the model and its optimizer, on the device and for any number of processes.

    Args:
        accelerator: The accelerator of this process.
        network: The network.
        recipe: The recipe.
        key_frames: How many of them this process trains on in the whole run, however often it is resumed.
    """
    import torch

    sharded = is_sharded(accelerator)
    channels_last = recipe.loop.channels_last and prefers_channels_last(
        network, accelerator.device, recipe.loop.mixed_precision
    )
    if channels_last and not sharded:
        network = network.to(memory_format=torch.channels_last_3d)
    elif channels_last and accelerator.is_main_process:
        name = accelerator.distributed_type.value
        print(f"{name} needs contiguous weights: loop.channels_last=false is used", file=sys.stderr)
    # Compiling a sharded model has not been tested on GPUs, so it takes an explicit backend name.
    requested = None if recipe.loop.compile == "auto" and sharded else recipe.loop.compile
    family: str = network.config.family  # type: ignore[assignment, union-attr]
    backend = compile_backend(requested, accelerator.device, key_frames, family)
    if backend is not None:
        network.backbone.compile(backend=backend)  # type: ignore[union-attr]
    network = network.to(accelerator.device)
    model, optimizer = accelerator.prepare(network, build_optimizer(network, recipe.optim, sharded=sharded))
    # Validation is in fp32, as in the published runs; a training step enters autocast by itself.
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return model, optimizer


def prefers_channels_last(network: torch.nn.Module, device: torch.device, precision: str) -> bool:
    """Whether channels-last weights are faster: without channel-wise convolutions, and on a CPU in bf16 only."""
    import torch

    convolutions = (module for module in network.modules() if isinstance(module, torch.nn.Conv3d))
    return (precision == "bf16" or device.type != "cpu") and all(one.groups == 1 for one in convolutions)


@contextlib.contextmanager
def forward_pass(accelerator: Accelerator, model: torch.nn.Module, recipe: Recipe) -> Iterator[FrozenNetwork]:
    """Let a model predict as ``loop.eval_compile`` and ``loop.eval_precision`` say, while the block lasts.

    What training has compiled is not used: it has no shape of a validation clip, and each shape takes a minute.

    Args:
        accelerator: The accelerator of this process.
        model: The model.
        recipe: The recipe.
    """
    import torch

    from ..models.frozen import fast_forward

    whole: Any = accelerator.unwrap_model(model)
    is_compiled = any(module._compiled_call_impl is not None for module in whole.modules())
    how = "no" if is_compiled or is_sharded(accelerator) else recipe.loop.eval_compile
    with contextlib.ExitStack() as stack:
        if is_compiled:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield stack.enter_context(fast_forward(whole, compile=how, precision=recipe.loop.eval_precision))


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether no process holds the whole model."""
    from accelerate.utils import DistributedType

    return accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)


def compile_backend(requested: str | None, device: torch.device, key_frames: int, family: str) -> str | None:
    """Return the name of a backend of ``torch.compile``, or None to not compile.

    ``"auto"`` is inductor on a GPU where it can run and where the run is long enough, and None on a CPU.

    Args:
        requested: The value of ``loop.compile``.
        device: The device of this process.
        key_frames: How many of them this process trains on in the whole run.
        family: The family of the network.

    Example:
        >>> import torch
        >>> compile_backend("aot_eager", torch.device("cpu"), 100, "resnet")
        'aot_eager'
    """
    if requested != "auto":
        return requested
    import torch

    if device.type != "cuda":
        return None
    reason = _missing_for_inductor(torch.cuda.get_device_capability(device))
    hint = "set loop.compile=null to hide this message"
    if reason is None and key_frames * _SAVED_S.get(family, _SAVED_S_BY_OTHERS) < _COMPILING_S:
        reason = f"a run of {key_frames:,} key frames on each GPU does not repay two minutes of compiling"
        hint = "set loop.compile=inductor to compile nevertheless"
    if reason is not None and is_main_process():
        print(f"not compiled: {reason}; {hint}", file=sys.stderr)
    return "inductor" if reason is None else None


def _missing_for_inductor(capability: tuple[int, int]) -> str | None:
    """What inductor lacks on this GPU.

    >>> _missing_for_inductor((6, 1))
    'Triton needs a GPU of compute capability 7.0, this one has 6.1'
    """
    if capability < (7, 0):
        return f"Triton needs a GPU of compute capability 7.0, this one has {capability[0]}.{capability[1]}"
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    if not (os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang")))):
        return "Triton needs a C compiler (Debian: apt install gcc)"
    return None
