"""Train an action model from a recipe, test it, and write its card.

    accelerate launch -m microg4m_hf.training.har --config i3d_nln_8x8_r50

The same command resumes a stopped run; for a finished run it only says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError, StoppedBySignal
from ..runtime import is_main_process
from .launch import exit_process, run_folder_of, run_main
from .processes import StopSignals, on_main_process, only_training_in
from .recipe import Recipe
from .recipe_io import load_recipe
from .run_folder import RunFolder

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch.optim.swa_utils import AveragedModel


def run_training(recipe: Recipe, run: RunFolder) -> dict[str, Any]:
    """Train, keep the model with the best validation mAP, then predict and score the test split with it.

    Args:
        recipe: What to train, from :func:`load_recipe`.
        run: The run folder; training resumes at its newest checkpoint. Every process of a launch must call this.

    Returns:
        The test scores, as in ``results.json``.

    Raises:
        RecipeError: If the folder belongs to another recipe or another training uses it, or the recipe cannot be run
            here.
        CheckpointError: If no checkpoint in the folder can be resumed.
        StoppedBySignal: If the run gets SIGTERM, SIGUSR1 or SIGINT; a checkpoint is written before.
    """
    from .build import build_accelerator

    with StopSignals() as stop:
        accelerator = build_accelerator(recipe, run)
        with only_training_in(accelerator, run):
            on_main_process(accelerator, lambda: run.begin(recipe))
            return _train_and_test(accelerator, recipe, run, stop)


def _train_and_test(accelerator: Accelerator, recipe: Recipe, run: RunFolder, stop: StopSignals) -> dict[str, Any]:
    from .build import build_model, save_model, split_items
    from .loading.dataset import KeyFrameWindows
    from .loop import last_step, train
    from .predict import predict_logits, score_logits
    from .predict_run import evaluate_best_model
    from .prepare import forward_pass, prepare

    if recipe.loop.tracker:
        accelerator.init_trackers("microg4m", config=_tracker_config(recipe))

    items = KeyFrameWindows(split_items(recipe.data, "train"), recipe.data, training=True, seed=recipe.loop.seed)
    held_out = split_items(recipe.data, "validation")
    validation = KeyFrameWindows(held_out, recipe.data, center_crop=recipe.data.validation_crop)
    if items.cache is not None and accelerator.is_main_process:
        items.cache.clean()

    network = build_model(recipe.model, recipe.data, recipe.loop.seed)
    key_frames = last_step(recipe, len(items)) * recipe.loop.batch // accelerator.num_processes
    model, optimizer = prepare(accelerator, network, recipe, key_frames)
    average = _moving_average(accelerator, model, recipe)

    def evaluate(candidate: torch.nn.Module) -> float:
        with forward_pass(accelerator, candidate, recipe) as forward:
            logits = predict_logits(
                accelerator, candidate, validation, workers=recipe.data.workers, what="validating", stop=stop
            )
        if accelerator.is_main_process:
            run.note_forward_pass("validation", forward.report())
        return score_logits(held_out, logits)["scores"]["map"]

    with stop.deferred():
        state = train(
            accelerator,
            model,
            optimizer,
            items,
            recipe,
            run,
            evaluate=evaluate,
            save_best=lambda candidate: save_model(accelerator, candidate, run.model),
            average=average,
            stop=stop,
        )
    if number := stop.requested(accelerator):  # after the last step, while its checkpoint was written
        raise StoppedBySignal(number, state.step)
    summary = run.read_summary(state.step)
    if summary is None:
        result = evaluate_best_model(accelerator, recipe, run, state)
    else:
        result = summary["test"]
        if accelerator.is_main_process:
            print(
                f"this run is finished ({run.path}); raise loop.max_steps to continue it, or give another --out",
                file=sys.stderr,
            )
    accelerator.end_training()
    return result


def _moving_average(accelerator: Accelerator, model: torch.nn.Module, recipe: Recipe) -> AveragedModel | None:
    """The averaged copy of the weights, if the recipe wants one; checkpoints include it."""
    if recipe.loop.ema is None:
        return None
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from .prepare import is_sharded

    if is_sharded(accelerator):
        raise RecipeError(
            "loop.ema needs the whole model on every process, which FSDP and DeepSpeed do not keep; "
            "set loop.ema=null, or train with DDP"
        )
    average = AveragedModel(
        accelerator.unwrap_model(model), multi_avg_fn=get_ema_multi_avg_fn(recipe.loop.ema), use_buffers=True
    )
    accelerator.register_for_checkpointing(average)
    return average


def _tracker_config(recipe: Recipe) -> dict[str, str | int | float | bool]:
    """The recipe as trackers accept it: one level, without None and lists."""
    config: dict[str, str | int | float | bool] = {}
    for section, values in recipe.to_dict().items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            plain = value if isinstance(value, (str, int, float, bool)) else json.dumps(value)
            config[f"{section}.{key}".rstrip(".")] = plain
    return config


def run(args: argparse.Namespace) -> int:
    """Train an action model from a recipe, and test it."""
    from .loading.loader import decoding_errors

    recipe = load_recipe(args.config, args.set)
    folder = run_folder_of(args, f"{recipe.name}-{recipe.variant}")
    with decoding_errors():
        result = run_training(recipe, folder)
    if is_main_process():
        print(
            f"test mAP {result['scores']['map']:.4f} (chance {result['chance_map']:.4f}), variant {recipe.variant}; "
            f"model, predictions and results are in {folder.path}"
        )
        if args.push_to_hub:
            from .push import push_after_training

            push_after_training(folder, args.push_to_hub)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_main("har", run, argv)


if __name__ == "__main__":
    exit_process(main())
