"""Train a HAR model from a recipe: ``accelerate launch -m microg4m_hf.training.har --config recipes/….yaml``.

Started again with the same run folder it goes on; started when everything is done it says so and does nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HubError, MicroG4MError, RecipeError
from ..runtime import is_main_process, rank_and_world_size
from .recipe import Recipe
from .recipe_io import load_recipe
from .run_folder import RunFolder

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch.optim.swa_utils import AveragedModel


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="RECIPE", help="a YAML recipe, see recipes/")
    parser.add_argument("--out", metavar="FOLDER", help="the run folder (default runs/<recipe name>-<variant>)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that must be there already")
    parser.add_argument("--push-to-hub", metavar="ORG/NAME", help="push model, card, scores and predictions at the end")
    parser.add_argument("set", nargs="*", metavar="section.key=value", help="values that win over the recipe")


def run_training(recipe: Recipe, run: RunFolder) -> dict[str, Any]:
    """Train, keep the best model by validation mAP, predict and score the test split; returns the test result."""
    import torch

    from .build import build_accelerator, build_model, save_model, split_items
    from .dataset import KeyFrameWindows
    from .loop import train
    from .predict import predict_logits, score_logits
    from .predict_run import finish
    from .prepare import prepare

    accelerator = build_accelerator(recipe, run)
    if accelerator.is_main_process:
        run.begin(recipe)
    accelerator.wait_for_everyone()
    if recipe.loop.tracker:
        accelerator.init_trackers("microg4m", config=_flat(recipe))

    items = KeyFrameWindows(split_items(recipe.data, "train"), recipe.data, training=True, seed=recipe.loop.seed)
    held_out = split_items(recipe.data, "validation")
    validation = KeyFrameWindows(held_out, recipe.data, centre_crop=recipe.data.validation_crop)
    if items.cache is not None and accelerator.is_main_process:
        items.cache.clean()

    model, optimizer = prepare(accelerator, build_model(recipe.model, recipe.data, recipe.loop.seed), recipe)
    average = _average(accelerator, model, recipe)

    def evaluate(shown: torch.nn.Module) -> float:
        # A minute of compiling for each shape of a short split would not come back.
        with torch.compiler.set_stance("force_eager"):
            logits = predict_logits(accelerator, shown, validation, workers=recipe.data.workers, what="validating")
        return score_logits(held_out, logits)["scores"]["map"]

    progress = train(
        accelerator,
        model,
        optimizer,
        items,
        recipe,
        run,
        evaluate=evaluate,
        keep_best=lambda shown, _: save_model(accelerator, shown, run.model),
        average=average,
    )
    summary = run.finished(progress.step)
    if summary is None:
        result = finish(accelerator, recipe, run, progress)
    else:
        result = summary["test"]
        if accelerator.is_main_process:
            print(f"this run is finished; loop.max_steps or --out start more ({run.path})", file=sys.stderr)
    accelerator.end_training()
    return result


def _average(accelerator: Accelerator, model: torch.nn.Module, recipe: Recipe) -> AveragedModel | None:
    """The moving average of the weights, when the recipe asks for one; saved and resumed with the checkpoints."""
    if recipe.loop.ema is None:
        return None
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from .prepare import sharded

    if sharded(accelerator):
        raise RecipeError(
            "loop.ema needs the whole model on every process, which FSDP and DeepSpeed do not keep; "
            "leave it out (loop.ema=null), or train with DDP"
        )
    average = AveragedModel(
        accelerator.unwrap_model(model), multi_avg_fn=get_ema_multi_avg_fn(recipe.loop.ema), use_buffers=True
    )
    accelerator.register_for_checkpointing(average)
    return average


def _flat(recipe: Recipe) -> dict[str, str | int | float | bool]:
    """Settings as trackers take them: one level, no None and no lists."""
    found: dict[str, str | int | float | bool] = {}
    for section, values in recipe.to_dict().items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            plain = value if isinstance(value, (str, int, float, bool)) else json.dumps(value)
            found[f"{section}.{key}".rstrip(".")] = plain
    return found


def run(args: argparse.Namespace) -> int:
    recipe = load_recipe(args.config, args.set)
    folder = RunFolder(args.out or Path("runs") / f"{recipe.name}-{recipe.variant}")
    if args.resume and not folder.config.exists():
        raise RecipeError(f"{folder.path} holds no run to go on with; leave --resume out to begin one")
    try:
        result = run_training(recipe, folder)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RecipeError(
            f"a process that decodes clips died ({error}); when the memory was full, lower data.workers. "
            "The same command goes on from the last checkpoint"
        ) from error
    if is_main_process():
        shown = f"test mAP {result['scores']['map']:.4f} (chance {result['chance_map']:.4f}), variant {recipe.variant}"
        print(f"{shown}; model, predictions and results are in {folder.path}")
        if args.push_to_hub:
            from .push import push_run

            try:
                print(f"pushed to {push_run(folder.path, args.push_to_hub)}")
            except MicroG4MError as error:
                again = f"microg4m push {folder.path} {args.push_to_hub}"
                raise HubError(f"{error}. The run is whole; to try again: {again}") from error
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The launchable entry; errors of the user are one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="microg4m train har", description=run_training.__doc__)
    configure(parser)
    try:
        return run(parser.parse_args(argv))
    except MicroG4MError as error:
        print(f"microg4m: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    if rank_and_world_size()[1] > 1:
        os._exit(code)  # gloo can abort in its own teardown after all work is done
    sys.exit(code)
