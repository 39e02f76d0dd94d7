"""The orientation probe: score a model on rotated and mirrored clips, to measure how much it relies on
which way is up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..data.orientation import Angles
from ..data.turns import TURNS, Turn, turn_boxes, turn_frames
from ..errors import RecipeError
from ..metrics.har.inputs import read_rows
from ..metrics.har.result import HarSettings, score_har
from ..metrics.har.statistics import ClassScores
from ..metrics.significance import add_corrected_p_values, paired_test
from ..taxonomy import ACTIONS, Action
from ..training.loading.dataset import KeyFrame, KeyFrameWindows
from ..training.loading.transforms import Geometry
from ..training.predict import pool_turns, predict_logits, prediction_columns, reference_columns
from ..training.predict_run import load_model, recipe_of
from ..training.recipe import Data
from .orientation_persons import person_quarters, score_persons


class TurnedWindows(KeyFrameWindows):
    """A dataset of windows that are all rotated in the same way."""

    def __init__(self, items: Sequence[KeyFrame], data: Data, turn: Turn, **options: Any) -> None:
        super().__init__([_turned(item, turn) for item in items], data, **options)
        self.turn = turn

    def _read(self, item: KeyFrame, geometry_of: Callable[[int, int], Geometry]) -> tuple[np.ndarray, Geometry]:
        frames = turn_frames(self._frames(item), self.turn)
        return frames, geometry_of(*frames.shape[1:3])


def _turned(item: KeyFrame, turn: Turn) -> KeyFrame:
    """A key frame with the boxes and angles that its persons have in the turned clip."""
    angles = None
    if item.angles is not None:
        angles = ((-item.angles if turn.mirrored else item.angles) + turn.degrees) % 360
    return replace(item, boxes=turn_boxes(item.boxes, turn).astype(np.float32), angles=angles)


def open_model(place: str) -> tuple[Any, Data]:
    """Return a model and how it is fed, as ``microg4m predict har`` loads and feeds it.

    Args:
        place: A run folder, a model folder or a Hub id.
    """
    recipe = recipe_of(place)
    return load_model(recipe), recipe.data


def orientation_probe(
    model: Any,
    items: Sequence[KeyFrame],
    data: Data,
    *,
    turns: Sequence[Turn] = TURNS,
    angles: Angles | None = None,
    protocol: str = "paper",
    resamples: int = 1,
    seed: int = 0,
    batch: int = 8,
) -> dict[str, Any]:
    """Score a model under every turn, and compare each with the first one on the same films.

    Note that a quarter turn also makes a wide frame tall; half a turn does not.

    Args:
        model: A model, from :func:`open_model`.
        items: The key frames.
        data: How the model is fed; with ``data.test_turns``, it is asked under several turns of each rotated clip.
        turns: At least two; the first is the baseline.
        angles: How persons are turned, from ``data.orientation.read_orientations``; estimated from boxes by default.
        protocol: ``"paper"`` or ``"instance"``.
        resamples: The former number of bootstrap resamples; it has no effect.
        seed: Seed of the orders in which tests rank equal scores under ``"instance"``.
        batch: Key frames per forward pass.

    Returns:
        ``turns`` with the mAP of each and, if any turn rotates, ``gap`` and ``classes``: the score of the first turn
        minus the mean of those with another rotation, overall and by action. Above 0, the model relies on the
        upright view. ``persons`` has the scores by orientation of the person, as ``score_persons`` returns them.

    Raises:
        RecipeError: If there are fewer than two turns, if ``data.test_pooling`` is still to be chosen, or if ``angles``
            has none of the persons.
    """
    quarters = person_quarters(items, angles)
    logits = predict_turns(model, items, data, turns=turns, batch=batch)
    settings = HarSettings(protocol, scores_are="logits", missing="zero")
    result = compare_turns(items, logits, settings, seed=seed)
    if data.views:
        result["asked"] = {"turns": [turn.name for turn in data.views], "pooling": data.test_pooling}
    result["persons"] = score_persons(items, logits, quarters, settings, from_boxes=angles is None, seed=seed)
    return result


def predict_turns(
    model: Any, items: Sequence[KeyFrame], data: Data, *, turns: Sequence[Turn] = TURNS, batch: int = 8
) -> dict[Turn, dict[int, np.ndarray]]:
    """Return the logits of a model under every turn, as :func:`orientation_probe` scores them.

    Args:
        model: A model, from :func:`open_model`.
        items: The key frames.
        data: How the model is fed.
        turns: At least two.
        batch: Key frames per forward pass.

    Raises:
        RecipeError: As for :func:`orientation_probe`.
    """
    from accelerate import Accelerator

    if len(turns) < 2:
        raise RecipeError(
            f"the probe compares turns, given {len(turns)}; give at least two, of which the first is the baseline"
        )
    if data.test_pooling == "auto":
        raise RecipeError("the probe does not choose how turns are pooled; give --turn-pooling mean, max or lme")
    accelerator = Accelerator()
    model = model.to(accelerator.device)
    found = {}
    for turn in turns:
        windows = TurnedWindows(items, data, turn, center_crop=data.test_crop)
        logits = predict_logits(
            accelerator,
            model,
            windows,
            turns=data.views,
            batch=batch,
            workers=data.workers,
            what=f"turned {turn.name}",
        )
        found[turn] = pool_turns(logits, data.test_pooling) if data.views else logits
    return found


def compare_turns(
    items: Sequence[KeyFrame], logits: Mapping[Turn, Mapping[int, np.ndarray]], settings: HarSettings, *, seed: int = 0
) -> dict[str, Any]:
    """Score what a model says under several turns, and compare each with the first; see :func:`orientation_probe`.

    Args:
        items: The key frames.
        logits: What :func:`predict_turns` returned.
        settings: Of the scores.
        seed: Of the orders in which tests rank equal scores.
    """
    references = read_rows(reference_columns(items), references=True)
    turns = list(logits)
    scored = {
        turn.name: score_har(read_rows(prediction_columns(items, dict(found))), references, settings)
        for turn, found in logits.items()
    }
    skipped = len(items) - min(map(len, logits.values()))
    left_out = {name: result.left_out(seed) for name, result in scored.items()}
    classes = {name: result.per_class for name, result in scored.items()}
    first = turns[0].name
    rows: list[dict[str, Any]] = []
    for name in scored:
        value, values = float(classes[name].macro()["map"]), left_out[name].macro()["map"]
        row: dict[str, Any] = {"turn": name, "map": value, "interval": scored[name].intervals(seed=seed)["map"]}
        if name != first:
            tested = paired_test(value - rows[0]["map"], values - left_out[first].macro()["map"])
            row |= {"difference": tested["difference"], "difference_interval": tested["interval"], "p": tested["p"]}
        rows.append(row)
    add_corrected_p_values(rows[1:])
    turned = [turn.name for turn in turns[1:] if turn.degrees % 360 != turns[0].degrees % 360]
    result = {
        "turns": rows,
        "left_out_clips": skipped,
        "key_frames": len(items),
        "protocol": settings.protocol,
    }
    if turned:

        def gap(score: Callable[[ClassScores], Any], films: int | None = None) -> dict[str, Any]:
            """Test the first turn minus the mean of the others, by one score that ``films`` say something about."""
            others, without = ([score(scores[name]) for name in turned] for scores in (classes, left_out))
            value = float(score(classes[first]) - np.mean(others))
            return paired_test(value, score(left_out[first]) - np.mean(without, axis=0), films=films)

        result["gap"] = gap(lambda scores: scores.macro()["map"])
        films = scored[first].statistics.films_of_class
        columns = {action: column for column, action in enumerate(scored[first].classes)}
        known = [(action, columns[action.action_id]) for action in ACTIONS if action.action_id in columns]

        def entry(action: Action, column: int) -> dict[str, Any]:
            values = {name: float(scores.ap[column]) for name, scores in classes.items()}
            about = {"action_id": action.action_id, "name": action.name, "ap": values}
            return about | gap(lambda scores: scores.ap[..., column], int(films[column]))

        table = [entry(action, column) for action, column in known if not np.isnan(classes[first].ap[column])]
        result["classes"] = table
        add_corrected_p_values(table)
    return result
