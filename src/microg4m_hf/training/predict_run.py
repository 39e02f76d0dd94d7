"""Predict and score a split with an action model: a training run, a model, or an architecture with a checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.references import released_references
from ..data.run_data import RunData
from ..data.sources import pinned_revision, resolve_root
from ..data.turns import describe_turns
from ..data.video.released_frames import check_programs
from ..errors import RecipeError
from ..metrics.results import json_ready
from ..runtime import is_main_process, silence_other_bars
from ..storage import write_atomic
from ..taxonomy import ACTION_IDS, NUM_AVA_CLASSES
from .ava_folder import ava_items, ava_references, shared_map
from .build import build_accelerator, build_model, split_items
from .card import write_model_card
from .checkpoints import TrainState
from .loading.dataset import KeyFrame, KeyFrameWindows, align_items
from .predict import chance_map, pool_turns, predict_logits, prediction_columns, score_logits
from .prepare import forward_pass
from .recipe import POOLINGS, Data, Model, Recipe
from .recipe_io import load_recipe
from .run_folder import RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

Predict = Callable[[str, KeyFrameWindows], "dict[int, np.ndarray]"]  # from a split and its key frames to logits


def recipe_of(model: str, weights: str | None = None, **data: Any) -> Recipe:
    """Return how a model is loaded and fed.

    The settings are those of the training: from ``config.yaml`` of a run folder or ``recipe.yaml`` of a model. A model
    without them is fed as its config describes.

    Args:
        model: A run folder, a model folder, a Hub id, a name from ``microg4m models list``, or ``released:NAME`` for
            the authors' fine-tuned model of that name.
        weights: A checkpoint to load into it.
        data: Fields of :class:`Data` that take precedence; None means not given.

    Raises:
        RecipeError: If there is no such model.

    Example:
        >>> recipe_of("slow_8x8_r50_ava", source="sample").data.stride
        8
    """
    from ..models import VARIANTS

    init: str | None
    run = RunFolder(model)
    if model.startswith("released:"):
        recipe, init = _recipe_of_model(model.removeprefix("released:")), model
    elif run.config.is_file() and run.model.is_dir():
        recipe, init = load_recipe(run.config), str(run.model)
    else:
        recipe, init = _recipe_of_model(model), None if model in VARIANTS else model
    overrides = {key: value for key, value in data.items() if value is not None}
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, init=weights or init, overrides={}),
        data=dataclasses.replace(recipe.data, cache=None, **overrides),
    )


def _recipe_of_model(model: str) -> Recipe:
    """The recipe saved beside a model, or one from its config."""
    from transformers.utils import cached_file

    from ..models import VARIANTS, MicroG4MHarConfig

    try:
        config: Any = VARIANTS[model] if model in VARIANTS else MicroG4MHarConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise RecipeError(
            f"{model} is not a run, a model folder or a Hub id ({reason}); use one, or a name of `microg4m models list`"
        ) from error
    if model not in VARIANTS:
        with contextlib.suppress(OSError):  # this model has none
            recipe = load_recipe(str(cached_file(model, "recipe.yaml")))
            data = dataclasses.replace(recipe.data, data_dir=None)  # a folder of the machine it was trained on
            return Recipe(recipe.name, recipe.variant, recipe.model, data)
    needs_square = getattr(config, "family", "") == "transformers"
    name = model if model in VARIANTS else config.variant
    return Recipe(
        name=name,
        variant=config.settings if config.settings in ("paper", "corrected") else "own",
        model=Model(name=name),
        data=Data(
            num_frames=config.num_frames,
            stride=config.sampling_rate,
            crop=config.train_size,
            eval_short_side=config.test_size,
            test_crop=needs_square,
            validation_crop=needs_square,
            key_frame="released" if config.settings == "paper" else "exact",
        ),
    )


def load_model(recipe: Recipe) -> Any:
    """Return the trained model of a recipe, with its head.

    Raises:
        RecipeError: If the recipe names an architecture without weights.
    """
    if recipe.model.init is None:
        raise RecipeError(
            f"{recipe.model.name} has no weights yet; give --weights a checkpoint, or --model a trained model"
        )
    silence_other_bars()
    return build_model(recipe.model, recipe.data, recipe.loop.seed)


def predict_har(
    recipe: Recipe,
    folder: str | Path,
    split: str = "test",
    *,
    ava_format: str | Path | None = None,
    limit: int | None = None,
    batch: int = 8,
) -> dict[str, Any]:
    """Predict and score one split. Every process of a launch must call this.

    Finished key frames are stored in ``journal/`` of the folder, so that the same call continues after a kill, on any
    number of processes.

    Args:
        recipe: The model and how it is fed, from :func:`recipe_of` or :func:`load_recipe`.
        folder: Where ``predictions/<split>.parquet`` (raw scores of all classes of the model), ``results.json``,
            ``config.yaml`` and ``environment.json`` are written. With ``data.test_turns`` of the recipe, the model is
            asked under several turns of each clip, and the scores are pooled from them.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        ava_format: The folder of a second dataset, on Earth, to predict with the same settings.
        limit: Predict and score only this many key frames, the first of the split.
        batch: Key frames per forward pass.

    Returns:
        The content of ``results.json``. With ``ava_format``, ``earth`` has the scores of the second dataset and
        ``gap`` the mAP of both over the classes with labels in both.

    Raises:
        RecipeError: If the model has no weights.
    """
    _check_counts(limit, batch)
    model: Any = load_model(recipe)
    accelerator = build_accelerator(recipe, RunFolder(folder), trains=False)
    summary = predict_with(accelerator, model, recipe, folder, split, ava_format=ava_format, limit=limit, batch=batch)
    accelerator.end_training()
    return summary


def _check_counts(limit: int | None, batch: int) -> None:
    for name, value in (("--limit", limit), ("--batch-size", batch)):
        if value is not None and value < 1:
            raise RecipeError(f"{name} {value} predicts nothing; give at least 1")


def predict_with(
    accelerator: Accelerator,
    model: Any,
    recipe: Recipe,
    folder: str | Path,
    split: str = "test",
    *,
    ava_format: str | Path | None = None,
    limit: int | None = None,
    batch: int = 8,
) -> dict[str, Any]:
    """Predict and score one split with a model that is loaded; see :func:`predict_har`.

    Args:
        accelerator: The accelerator of this process, which serves further predictions afterwards.
        model: What :func:`load_model` returned for the recipe.
        recipe: As for :func:`predict_har`, like all other arguments.
        folder: See there.
        split: See there.
        ava_format: See there.
        limit: See there.
        batch: See there.

    Returns:
        The content of ``results.json``.
    """
    _check_counts(limit, batch)
    run = RunFolder(folder)
    if accelerator.is_main_process:
        run.begin(recipe)
    accelerator.wait_for_everyone()
    model = model.to(accelerator.device)
    predict = functools.partial(_predict_with_journal, accelerator, model, recipe, run, batch)
    recipe, turns = choose_pooling(recipe, split, predict)
    result = _predict_split(accelerator, recipe, run, split, predict, limit)
    summary: dict[str, Any] = {"name": recipe.name, "variant": recipe.variant, "split": split, **turns, split: result}
    if ava_format is not None:
        items = align_items(ava_items(ava_format), recipe.data)
        if len(model.config.id2label) != NUM_AVA_CLASSES:  # a model with the 50 classes is not scored on AVA's others
            for item in items:
                item.labels[:, [column for column in range(NUM_AVA_CLASSES) if column + 1 not in ACTION_IDS]] = 0
        references = ava_references(items)
        summary["earth"] = _predict_items(accelerator, recipe, run, "earth", items, predict, references=references)
        summary["gap"] = shared_map(summary["earth"], result)
    if accelerator.is_main_process:
        write_atomic(run.results, json.dumps(json_ready(summary), indent=1, default=float, allow_nan=False))
    accelerator.wait_for_everyone()
    return summary


def predict_sample(
    accelerator: Accelerator,
    model: Any,
    recipe: Recipe,
    folder: str | Path,
    name: str,
    count: int,
    split: str = "test",
    *,
    batch: int = 8,
) -> dict[tuple[str, int], np.ndarray]:
    """Predict some key frames that are spread evenly over a split. Every process must call this.

    Args:
        accelerator: The accelerator of this process.
        model: The model.
        recipe: How it is fed, which may differ from how the whole split was.
        folder: The run folder; finished key frames are stored in its ``journal/<name>``.
        name: A name for these predictions.
        count: How many key frames.
        split: The split.
        batch: Key frames per forward pass.

    Returns:
        Logits ``(persons, classes)`` by clip and frame. Unreadable clips are absent.
    """
    whole = split_items(recipe.data, split)
    places = np.unique(np.linspace(0, len(whole) - 1, min(count, len(whole))).astype(int))
    windows = KeyFrameWindows([whole[place] for place in places], recipe.data, center_crop=recipe.data.test_crop)
    logits = _predict_with_journal(
        accelerator, model.to(accelerator.device), recipe, RunFolder(folder), batch, name, windows
    )
    return {(windows.items[index].video_id, windows.items[index].frame): own for index, own in logits.items()}


def evaluate_best_model(accelerator: Accelerator, recipe: Recipe, run: RunFolder, state: TrainState) -> dict[str, Any]:
    """Predict and score the test split with the best model of a training. Every process must call this.

    Writes ``predictions/test.parquet``, ``results.json`` and the model card.
    """
    from ..models import load_saved

    model = load_saved(run.model).to(accelerator.device)

    def predict(split: str, windows: KeyFrameWindows) -> dict[int, np.ndarray]:
        with forward_pass(accelerator, model, recipe) as forward:
            logits = predict_logits(
                accelerator,
                model,
                windows,
                turns=recipe.data.views,
                workers=recipe.data.workers,
                what=f"predicting {split}",
            )
        if accelerator.is_main_process:
            run.note_forward_pass(split, forward.report())
        return logits

    recipe, turns = choose_pooling(recipe, "test", predict)
    result = _predict_split(accelerator, recipe, run, "test", predict)
    summary = {
        "name": recipe.name,
        "variant": recipe.variant,
        "steps": state.step,
        "best_step": state.best_step,
        "validation_map": state.best,
        "skipped_clips": state.skipped_clips,
        "processes": accelerator.num_processes,
        **turns,
        "test": result,
    }
    if accelerator.is_main_process:
        write_atomic(run.results, json.dumps(json_ready(summary), indent=1, default=float, allow_nan=False))
        write_model_card(recipe, summary, run.model)
    accelerator.wait_for_everyone()
    return result


def choose_pooling(recipe: Recipe, split: str, predict: Predict) -> tuple[Recipe, dict[str, Any]]:
    """Say what the turns of a prediction cost, and replace the pooling ``auto`` by the best one on validation.

    Every process must call this. Equal mAPs go to the first of mean, max and log-mean-exp.

    Args:
        recipe: The model and how it is fed.
        split: The split to predict.
        predict: Predict the validation split, if need be.

    Returns:
        The recipe with a pooling, and what ``results.json`` says about the turns: nothing if there are none.

    Raises:
        RecipeError: The pooling is to be chosen on the split that is predicted.
    """
    data = recipe.data
    if not data.views:
        return recipe, {}
    asked, count = describe_turns(data.views), len(data.views)
    if data.test_pooling == "auto" and split == "validation":
        raise RecipeError(
            "the pooling of turns would be chosen on validation, the split that is predicted; "
            "set data.test_pooling (--turn-pooling) to mean, max or lme"
        )
    note = f"{asked}: {count} forward passes per key frame instead of 1"
    if data.test_pooling != "auto":
        _note(f"{note}; their logits are pooled by {data.test_pooling}")
        return recipe, {"turns": {"asked": [turn.name for turn in data.views], "pooling": data.test_pooling}}
    _note(f"{note}, first of validation, to choose how their logits are pooled")
    items = split_items(data, "validation")
    logits = predict("validation", KeyFrameWindows(items, data, center_crop=data.test_crop))
    maps = {how: score_logits(items, pool_turns(logits, how))["scores"]["map"] for how in POOLINGS}
    best = max(maps, key=lambda how: maps[how])
    _note(f"pooled by {best}: validation mAP " + ", ".join(f"{how} {100 * maps[how]:.2f}" for how in maps))
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(data, test_pooling=best))
    about = {"asked": [turn.name for turn in data.views], "pooling": best, "validation_map": maps}
    return recipe, {"turns": about}


def _note(text: str) -> None:
    if is_main_process():
        print(text, file=sys.stderr)


def _predict_with_journal(
    accelerator: Accelerator,
    model: Any,
    recipe: Recipe,
    run: RunFolder,
    batch: int,
    split: str,
    windows: KeyFrameWindows,
) -> dict[int, np.ndarray]:
    """Predict what the journal does not have yet."""
    from ..inference.journal import Journal

    settings = _journal_settings(model, recipe.data, split, recipe.loop.eval_precision)
    folder = run.path / "journal" / split
    journal = Journal(folder, settings, accelerator.process_index, content="scores")
    names = [f"{item.video_id} {item.frame}" for item in windows.items]
    if recipe.data.align != "none":  # one item per person
        names = [f"{name} {item.person_ids[0]}" for name, item in zip(names, windows.items, strict=True)]
    records, known = journal.records(), {}
    for index, (name, item) in enumerate(zip(names, windows.items, strict=True)):
        scores = np.asarray(records[name]["scores"], np.float32) if name in records else np.empty(0)
        turns = (len(recipe.data.views),) if recipe.data.views else ()
        if scores.ndim == len(turns) + 2 and scores.shape[:-1] == (*turns, len(item.boxes)):
            known[index] = scores
    accelerator.wait_for_everyone()  # all have read the same records before one of them writes
    if known and accelerator.is_main_process:
        print(f"{len(known)} of {len(names)} key frames of {split} are in {folder}", file=sys.stderr)
    views = recipe.data.views
    with journal, forward_pass(accelerator, model, recipe) as forward:

        def save(index: int, logits: np.ndarray) -> None:
            journal.add({"id": names[index], "status": "ok", "scores": logits.tolist()})

        logits = predict_logits(
            accelerator,
            model,
            windows,
            turns=views,
            batch=batch,
            workers=recipe.data.workers,
            what=f"predicting {split}",
            known=known,
            save=save,
        )
        if accelerator.is_main_process and len(known) < len(names):
            run.note_forward_pass(split, forward.report())
    return logits


def _journal_settings(model: Any, data: Data, split: str, precision: str = "no") -> str:
    """Return a hash of everything that determines the logits of a key frame: the weights, and how clips are fed."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(
            name.encode() + tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    # The journal has the logits of each turn. All decoders but "as_released" return the same pixels.
    irrelevant = {"workers", "cache", "cache_gb", "on_error", "test_pooling", "decoder"}
    irrelevant |= {"rotate", "rotate_about", "vertical_flip"}  # only in training
    fed = {name: value for name, value in dataclasses.asdict(data).items() if name not in irrelevant}
    if data.align == "none":
        del fed["align"]
    elif data.align != "box":  # the angles count, and not where their file is
        fed["align"] = hashlib.sha256(Path(data.align).expanduser().read_bytes()).hexdigest()
    if data.decoder == "as_released":
        fed["pixels"] = check_programs()
    if precision != "no":
        fed["precision"] = precision
    digest.update(json.dumps([split, fed, model.config.to_diff_dict()], sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]


def _predict_split(
    accelerator: Accelerator, recipe: Recipe, run: RunFolder, split: str, predict: Predict, limit: int | None = None
) -> dict[str, Any]:
    """Predict a split and score it against the released labels, also by domain, group and frequency."""
    whole = split_items(recipe.data, split)
    items = whole[:limit]
    settings: dict[str, Any] = {"by": ("domain", "group", "frequency")}
    file = released_references(split, **recipe.data.location())
    if file is not None and len(items) == len(whole):
        settings["references"] = file
    result = _predict_items(accelerator, recipe, run, split, items, predict, **settings)
    if len(items) < len(whole):
        result["key_frames"] = {"predicted": len(items), "in_split": len(whole)}
    return result | {"chance_map": chance_map(items)}


def _predict_items(
    accelerator: Accelerator,
    recipe: Recipe,
    run: RunFolder,
    split: str,
    items: Sequence[KeyFrame],
    predict: Predict,
    **settings: Any,
) -> dict[str, Any]:
    """Predict key frames into ``predictions/<split>.parquet`` and score them with both protocols."""
    from ..metrics.har.files import write_predictions

    logits = predict(split, KeyFrameWindows(items, recipe.data, center_crop=recipe.data.test_crop))
    views = recipe.data.views
    logits = pool_turns(logits, recipe.data.test_pooling) if views else logits
    if accelerator.is_main_process:
        about: dict[str, Any] = {
            "model": recipe.model.name,
            "recipe": recipe.name,
            "variant": recipe.variant,
            "split": split,
            "scheme": recipe.data.scheme,
            "frames": f"{recipe.data.num_frames}x{recipe.data.stride}",
            "key_frame": recipe.data.key_frame,
            "scores_are": "logits",
        }
        if recipe.loop.eval_precision != "no":
            about["precision"] = recipe.loop.eval_precision
        if views:
            about["turns"] = {"asked": [turn.name for turn in views], "pooling": recipe.data.test_pooling}
        if recipe.data.decoder == "as_released":
            about["pixels"] = check_programs()
        if split != "earth":
            about["data"] = _run_data(recipe.data, split, items).to_dict()
        write_predictions(run.predictions / f"{split}.parquet", **prediction_columns(items, logits), about=about)
    result = score_logits(items, logits, **settings)
    settings.pop("by", None)
    result["instance"] = score_logits(items, logits, protocol="instance", scores_are="logits", **settings)["scores"]
    return result


def _run_data(data: Data, split: str, items: Sequence[KeyFrame]) -> RunData:
    """Return what a prediction of these key frames was asked; a revision of the Hub is recorded as its commit."""
    keys = tuple(dict.fromkeys((item.video_id, item.frame) for item in items))  # with data.align, one item per person
    revision, source, folder = data.revision, data.source, data.data_dir
    if folder is not None:
        folder = str(Path(folder).expanduser().absolute())
    elif source != "sample":
        place = {"data_dir": folder, "source": source, "revision": revision}
        source, revision = source or "hub", pinned_revision(resolve_root("har", videos=False, **place)) or revision
    return RunData("har", keys, split, data.scheme, folder, source, revision)
