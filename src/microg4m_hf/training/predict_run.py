"""Predict a split with any model: a run, a model folder or Hub id, or a named network with the weights of a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.references import released_references
from ..errors import RecipeError
from ..storage import write_atomic
from ..taxonomy import ACTION_IDS, NUM_AVA_CLASSES
from .ava_folder import ava_items, ava_references, shared_map
from .build import split_items
from .checkpoints import Progress
from .dataset import KeyFrame, KeyFrameWindows
from .predict import chance_map, predict_logits, prediction_columns, score_logits
from .recipe import Data, Model, Recipe
from .recipe_io import load_recipe
from .run_folder import RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator


def recipe_of(model: str, weights: str | None = None, **data: Any) -> Recipe:
    """How a model is to be fed: as its run was, or as its config says; ``data`` are values that win.

    >>> recipe_of("slow_8x8_r50_ava", source="sample").data.stride
    8
    """
    given = {key: value for key, value in data.items() if value is not None}
    run = RunFolder(model)
    if run.config.is_file() and run.model.is_dir():
        recipe = load_recipe(run.config)
        return dataclasses.replace(
            recipe,
            model=dataclasses.replace(recipe.model, init=weights or str(run.model), overrides={}),
            data=dataclasses.replace(recipe.data, cache=None, **given),
        )
    from ..models import VARIANTS, MicroG4MHarConfig

    named = model in VARIANTS
    try:
        known: Any = VARIANTS[model] if named else MicroG4MHarConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise RecipeError(
            f"{model} is no run, no model folder, no Hub id and no name of `microg4m models list` ({reason})"
        ) from error
    square = getattr(known, "family", "") == "transformers"
    fed = {
        "num_frames": known.num_frames,
        "stride": known.sampling_rate,
        "crop": known.train_size,
        "eval_short_side": known.test_size,
        "test_crop": square,
        "validation_crop": square,
        "key_frame": "released" if known.settings == "paper" else "exact",
    }
    variant = known.settings if known.settings in ("paper", "corrected") else "own"
    name = model if named else known.variant
    return Recipe(
        name=name,
        variant=variant,
        model=Model(name=name, init=weights if named else model),
        data=Data(**fed | given),
    )


def predict_har(
    recipe: Recipe, folder: str | Path, split: str = "test", *, ava_format: str | Path | None = None
) -> dict[str, Any]:
    """Predict and score one split into ``folder``; every process of a launch must call it.

    ``ava_format`` is a second data set, on Earth, that is predicted under the same settings: ``earth`` has its scores
    and ``gap`` the mAP of both over the classes that have labels in both.

    Leaves ``predictions/<split>.parquet`` (all classes of the model, raw scores), ``results.json``, ``config.yaml``
    and ``environment.json``.
    """
    from .build import build_accelerator, build_model

    if recipe.model.init is None:
        raise RecipeError(
            f"{recipe.model.name} has no weights yet; give --weights a checkpoint, or --model a trained one"
        )
    run = RunFolder(folder)
    accelerator = build_accelerator(recipe, run)
    if accelerator.is_main_process:
        run.begin(recipe)
    accelerator.wait_for_everyone()
    model: Any = build_model(recipe.model, recipe.data, recipe.loop.seed).to(accelerator.device)
    result = predict_split(accelerator, model, recipe, run, split)
    summary: dict[str, Any] = {"name": recipe.name, "variant": recipe.variant, "split": split, split: result}
    if ava_format is not None:
        earth = earth_items(ava_format, ava=len(model.config.id2label) == NUM_AVA_CLASSES)
        references = ava_references(earth)
        summary["earth"] = predict_items(accelerator, model, recipe, run, "earth", earth, references=references)
        summary["gap"] = shared_map(summary["earth"], result)
    if accelerator.is_main_process:
        write_atomic(run.results, json.dumps(summary, indent=1, default=float))
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return summary


def earth_items(folder: str | Path, *, ava: bool) -> list[KeyFrame]:
    """Key frames of a folder in AVA's form; for models with the 50 classes without the labels they cannot give."""
    items = ava_items(folder)
    if ava:
        return items
    for item in items:
        item.labels[:, [place for place in range(NUM_AVA_CLASSES) if place + 1 not in ACTION_IDS]] = 0
    return items


# After the last step: the best model predicts and is scored, and the run folder gets everything it should hold.


def finish(accelerator: Accelerator, recipe: Recipe, run: RunFolder, progress: Progress) -> dict[str, Any]:
    """Predict and score the test split with the best model; every process must call it.

    Leaves ``predictions/test.parquet``, ``results.json`` and the model card behind.
    """
    from ..models import MicroG4MHarForVideoClassification

    model = MicroG4MHarForVideoClassification.from_pretrained(run.model).to(accelerator.device)
    result = predict_split(accelerator, model, recipe, run, "test")
    summary = {
        "name": recipe.name,
        "variant": recipe.variant,
        "steps": progress.step,
        "best_step": progress.best_step,
        "validation_map": progress.best,
        "skipped_clips": progress.skipped_clips,
        "processes": accelerator.num_processes,
        "test": result,
    }
    if accelerator.is_main_process:
        from .card import write_card

        write_atomic(run.results, json.dumps(summary, indent=1, default=float))
        write_card(recipe, summary, run.model)
    accelerator.wait_for_everyone()
    return result


def predict_split(
    accelerator: Accelerator, model: Any, recipe: Recipe, run: RunFolder, split: str, **settings: Any
) -> dict[str, Any]:
    """Predict one split into ``predictions/<split>.parquet`` and score it by domain, group and frequency."""
    data = recipe.data
    file = released_references(
        split, scheme=data.scheme, data_dir=data.data_dir, source=data.source, revision=data.revision
    )
    if file is not None:
        settings.setdefault("references", file)
    settings.setdefault("by", ("domain", "group", "frequency"))
    items = split_items(recipe.data, split)
    result = predict_items(accelerator, model, recipe, run, split, items, **settings)
    return result | {"chance_map": chance_map(items)}


def predict_items(
    accelerator: Accelerator,
    model: Any,
    recipe: Recipe,
    run: RunFolder,
    split: str,
    items: Sequence[KeyFrame],
    **settings: Any,
) -> dict[str, Any]:
    """Predict key frames into ``predictions/<split>.parquet`` and score them by both protocols."""
    from ..metrics.har.files import write_predictions

    windows = KeyFrameWindows(items, recipe.data, centre_crop=recipe.data.test_crop)
    logits = predict_logits(accelerator, model, windows, workers=recipe.data.workers, what=f"predicting {split}")
    if accelerator.is_main_process:
        about = {
            "model": recipe.model.name,
            "recipe": recipe.name,
            "variant": recipe.variant,
            "split": split,
            "scheme": recipe.data.scheme,
            "frames": f"{recipe.data.num_frames}x{recipe.data.stride}",
            "key_frame": recipe.data.key_frame,
            "scores_are": "logits",
        }
        write_predictions(run.predictions / f"{split}.parquet", **prediction_columns(items, logits), about=about)
    result = score_logits(items, logits, **settings)
    settings.pop("by", None)
    result["instance"] = score_logits(items, logits, protocol="instance", scores_are="logits", **settings)["scores"]
    return result
