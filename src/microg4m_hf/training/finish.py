"""After the last step: the best model predicts and is scored, and the run folder gets everything it should hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..storage import write_atomic
from .checkpoints import Progress
from .key_frames import KeyFrame
from .objects import split_items
from .predict import predict_logits, prediction_columns
from .recipe import Recipe
from .run_folder import RunFolder
from .score import chance_map, released_references, score_logits
from .windows import KeyFrameWindows

if TYPE_CHECKING:
    from accelerate import Accelerator


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
    file = released_references(recipe.data, split)
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
