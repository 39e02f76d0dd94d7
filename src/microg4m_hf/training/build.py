"""Build what a recipe describes: the accelerator, the model, and the key frames of a split."""

from __future__ import annotations

import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from ..extras import require
from ..runtime import check_gpus, has_accelerator, is_main_process, silence_other_bars
from .loading.dataset import KeyFrame, align_items, key_frames
from .recipe import Data, Model, Recipe
from .run_folder import RunFolder

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

ENCODERS = ("videomae", "vjepa2")  # encoders of transformers that get the benchmark's head


def build_accelerator(recipe: Recipe, run: RunFolder, *, trains: bool = True) -> Accelerator:
    """Return the accelerator of one process or of many, as ``accelerate launch`` or ``torchrun`` started them.

    Args:
        recipe: The recipe.
        run: The run folder.
        trains: Whether ``loop.mixed_precision`` is needed. Predictions do without, so they leave a precision that the
            process has already chosen as it is.

    Raises:
        MicroG4MError: If this machine has fewer GPUs than processes, or the tracker is not installed.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedType, InitProcessGroupKwargs, set_seed

    silence_other_bars()
    check_gpus()
    if recipe.loop.tracker is not None:
        require(recipe.loop.tracker, "loop.tracker")  # Accelerate would silently go on without it
    precision: str | None = recipe.loop.mixed_precision if trains else None
    if precision == "fp16" and not has_accelerator():
        if is_main_process():
            print("fp16 needs a GPU: this run is in fp32 (loop.mixed_precision=no)", file=sys.stderr)
        precision = "no"
    if precision is not None and AcceleratorState._shared_state.get("_mixed_precision") not in (None, precision):
        AcceleratorState._reset_state()  # of an earlier run in this process, as in a notebook
    accelerator = Accelerator(
        cpu=not has_accelerator(),
        mixed_precision=precision,
        log_with=recipe.loop.tracker,
        project_dir=str(run.path),
        # Ranks wait for each other while one of them evaluates or writes; the default of ten minutes can be too short.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=2))],
    )
    if accelerator.distributed_type == DistributedType.FSDP:
        # FSDP's own casting would affect BatchNorm weights and validation; a training step enters autocast by itself.
        accelerator.state.fsdp_plugin.mixed_precision_policy = None
    if accelerator.state.deepspeed_plugin is not None:
        _configure_deepspeed(accelerator.state.deepspeed_plugin.deepspeed_config, recipe, accelerator.num_processes)
    set_seed(recipe.loop.seed + accelerator.process_index)  # dropout differs between ranks, as in the published runs
    return accelerator


def _configure_deepspeed(config: dict[str, Any], recipe: Recipe, processes: int) -> None:
    """Set what DeepSpeed reads from a data loader, which it does not get here, and gradient clipping."""
    config["train_micro_batch_size_per_gpu"] = math.ceil(recipe.loop.batch / processes)
    config["gradient_accumulation_steps"] = 1  # micro batches belong to one step, and are weighted in step.py
    config["gradient_clipping"] = recipe.optim.clip_norm or 0.0
    config["zero_allow_untested_optimizer"] = True  # SGD and AdamW are those of torch


def build_model(model: Model, data: Data, seed: int) -> torch.nn.Module:
    """Return the model of a recipe, with the same weights on every rank, and print what turn pooling costs.

    Args:
        model: Architecture, initial weights and overrides.
        data: How the model is fed; its config records it.
        seed: Seed of random weights.
    """
    built = _build_model(model, data, seed)
    if built.config.turn_pooling and is_main_process():
        from ..models.build import count_parameters_and_gflops

        _, gflops = count_parameters_and_gflops(built.config)
        built.config.turn_pooling = False
        _, once = count_parameters_and_gflops(built.config)
        built.config.turn_pooling = True
        print(
            f"turn pooling: each clip is computed in four turns, {gflops:.3g} instead of {once:.3g} GFLOPs",
            file=sys.stderr,
        )
    return built


def _build_model(model: Model, data: Data, seed: int) -> Any:
    import torch
    from transformers import AutoConfig

    from .. import models

    settings: dict[str, Any] = {
        "num_frames": data.num_frames,
        "sampling_rate": data.stride,
        "train_size": data.crop or data.short_side[0],
        "test_size": data.eval_short_side,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if model.init is None:
            if model.name not in ENCODERS:
                return models.create(model.name, **settings | model.overrides)
            overrides = dict(model.overrides)
            if "turn_pooling" in overrides:  # the one setting of the model, not of its encoder
                settings["turn_pooling"] = overrides.pop("turn_pooling")
            encoder = AutoConfig.for_model(model.name, **overrides)
            return models.wrap(encoder, **{key: value for key, value in settings.items() if key not in overrides})
        settings |= model.overrides
        state = named_weights(model)
        if state is not None or model.init.endswith((".pyth", ".pkl", ".pt", ".pth")):
            return models.load_pyslowfast(model.name, state or model.init, partial=model.init_partial, **settings)
        saved = RunFolder(model.init).model
        source = str(saved) if saved.is_dir() else model.init
        har_model = models.MicroG4MHarForVideoClassification
        if (
            model.name in ENCODERS
            and AutoConfig.from_pretrained(source).model_type != har_model.config_class.model_type
        ):
            return models.wrap(source, **settings)
        return models.load_saved(source, partial=model.init_partial, **settings)


def named_weights(model: Model) -> dict[str, torch.Tensor] | None:
    """Return the weights that ``model.init`` names, downloaded if needed; None if it is no such name.

    The names are ``kinetics`` (what the published run of ``model.name`` began from), ``zoo:PATH`` (another file of the
    PySlowFast zoo) and ``released:NAME`` (the authors' fine-tuned model).
    """
    from ..models import weights

    kind, _, name = (model.init or "").partition(":")
    if model.init == "kinetics":
        return weights.pretrained_state(model.name)
    if kind == "zoo" and name:
        return weights.zoo_state(name)
    if kind == "released" and name:
        return weights.released_state(name)
    return None


def split_items(data: Data, split: str) -> list[KeyFrame]:
    """Return the key frames of a split; with ``data.align``, each has one person.

    Args:
        data: Where the dataset is, and the split scheme.
        split: ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        RecipeError: If the split has no key frame with a box.
    """
    from ..data import load_dataset

    rows: Any = load_dataset("har", split=split, **data.location())
    items = align_items(key_frames(rows), data)
    if not items:
        raise RecipeError(f"the {split} split of scheme {data.scheme} has no key frame with a box; check data.data_dir")
    return items


def save_model(accelerator: Accelerator, model: torch.nn.Module, folder: Path) -> None:
    """Save a model with its config; the folder is replaced when it is complete. Every process must call this."""
    from ..storage import atomic_folder

    state = accelerator.get_state_dict(model)
    if accelerator.is_main_process:
        whole = accelerator.unwrap_model(model, keep_torch_compile=False)
        with atomic_folder(folder, replace=True) as scratch:
            whole.save_pretrained(scratch, state_dict=state)
    accelerator.wait_for_everyone()
