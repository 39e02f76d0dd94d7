"""What a recipe names, built: the accelerator, the model, the data of each split."""

from __future__ import annotations

import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from ..extras import require
from ..runtime import is_main_process
from .dataset import KeyFrame, key_frames
from .recipe import Data, Model, Recipe
from .run_folder import RunFolder

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

ENCODERS = ("videomae", "vjepa2")  # of transformers, wrapped by our head


def build_accelerator(recipe: Recipe, run: RunFolder) -> Accelerator:
    """One process or many, as ``accelerate launch`` or ``torchrun`` started them."""
    import torch
    from accelerate import Accelerator
    from accelerate.utils import DistributedType, InitProcessGroupKwargs, set_seed

    if recipe.loop.tracker is not None:
        require(recipe.loop.tracker, "loop.tracker")  # Accelerate would go on without a word
    on_gpu, precision = torch.cuda.is_available(), recipe.loop.mixed_precision
    if precision == "fp16" and not on_gpu:
        if is_main_process():
            print("fp16 needs a GPU: this run is in fp32 (loop.mixed_precision=no)", file=sys.stderr)
        precision = "no"
    accelerator = Accelerator(
        cpu=not on_gpu,
        mixed_precision=precision,
        log_with=recipe.loop.tracker,
        project_dir=str(run.path),
        # Ranks wait for each other while one of them evaluates or writes; ten minutes are not always enough.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=2))],
    )
    if accelerator.distributed_type == DistributedType.FSDP:
        # Its own casting would halve BatchNorm's weights and validation; a step enters autocast by itself.
        accelerator.state.fsdp_plugin.mixed_precision_policy = None
    if accelerator.state.deepspeed_plugin is not None:
        _fill_in(accelerator.state.deepspeed_plugin.deepspeed_config, recipe, accelerator.num_processes)
    set_seed(recipe.loop.seed + accelerator.process_index)  # dropout differs between ranks, as in the published runs
    return accelerator


def _fill_in(config: dict[str, Any], recipe: Recipe, processes: int) -> None:
    """What DeepSpeed wants to know beforehand and the recipe says: it sees no loader, and clips gradients itself."""
    config["train_micro_batch_size_per_gpu"] = math.ceil(recipe.loop.batch / processes)
    config["gradient_accumulation_steps"] = 1  # a share in pieces is still one step, and its sums are weighed by us
    config["gradient_clipping"] = recipe.optim.clip_norm or 0.0
    config["zero_allow_untested_optimizer"] = True  # our SGD and AdamW are torch's own


def build_model(model: Model, data: Data, seed: int) -> torch.nn.Module:
    """The named architecture, from scratch or from a checkpoint, fed as the recipe says; equal on every rank."""
    import torch

    from .. import models

    fed = {"num_frames": data.num_frames, "sampling_rate": data.stride}
    settings = (
        fed | {"train_size": data.crop or data.short_side[0], "test_size": data.eval_short_side} | model.overrides
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if model.name in ENCODERS:
            return _wrapped(model, settings)
        if model.init is None:
            return models.create(model.name, **settings)
        if model.init.endswith((".pyth", ".pkl", ".pt", ".pth")):
            return models.load_pyslowfast(model.name, model.init, partial=model.init_partial, **settings)
        saved = RunFolder(model.init).model
        return models.MicroG4MHarForVideoClassification.from_pretrained(
            saved if saved.is_dir() else model.init, **settings
        )


def _wrapped(model: Model, settings: dict[str, Any]) -> torch.nn.Module:
    """An encoder of transformers under our head; without ``init`` the overrides are those of the encoder's config."""
    from .. import models

    if model.init is not None:
        return models.wrap(model.init, **settings)
    from transformers import AutoConfig

    encoder = AutoConfig.for_model(model.name, **model.overrides)
    return models.wrap(encoder, **{key: value for key, value in settings.items() if key not in model.overrides})


def split_items(data: Data, split: str) -> list[KeyFrame]:
    """The key frames of one split."""
    from ..data import load_dataset

    rows: Any = load_dataset(
        "har",
        split=split,
        data_dir=data.data_dir,
        source=data.source,
        revision=data.revision,
        scheme=data.scheme,
    )
    items = key_frames(rows)
    if not items:
        raise RecipeError(
            f"the {split} split of scheme {data.scheme} holds no key frame with a box; check data.data_dir"
        )
    return items


def save_model(accelerator: Accelerator, model: torch.nn.Module, folder: Path) -> None:
    """Save a model with its config in one step; every process must call it."""
    from ..storage import atomic_folder

    state = accelerator.get_state_dict(model)
    if accelerator.is_main_process:
        whole = accelerator.unwrap_model(model, keep_torch_compile=False)
        with atomic_folder(folder, replace=True) as scratch:
            whole.save_pretrained(scratch, state_dict=state)
    accelerator.wait_for_everyone()
