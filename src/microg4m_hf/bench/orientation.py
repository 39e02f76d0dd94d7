"""The orientation probe: score a model on rotated and mirrored clips, to measure how much it relies on
which way is up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..errors import RecipeError
from ..metrics.har.inputs import read_rows
from ..metrics.har.result import HarSettings, score_har
from ..metrics.har.statistics import ClassScores
from ..metrics.significance import add_corrected_p_values, paired_test
from ..taxonomy import ACTIONS, Action
from ..training.dataset import KeyFrame, KeyFrameWindows
from ..training.predict import predict_logits, prediction_columns, reference_columns
from ..training.predict_run import load_model, recipe_of
from ..training.recipe import Data


class Turn(NamedTuple):
    """A rotation in degrees clockwise, after mirroring left to right if asked."""

    degrees: int
    mirrored: bool = False

    @property
    def name(self) -> str:
        return f"{self.degrees}°{', mirrored' if self.mirrored else ''}"


TURNS = (Turn(0), Turn(90), Turn(180), Turn(270), Turn(0, mirrored=True))


def turn_frames(frames: np.ndarray, turn: Turn) -> np.ndarray:
    """Rotate frames ``(T, H, W, 3)``; a quarter turn swaps height and width.

    >>> one = np.arange(4).reshape(1, 2, 2, 1)
    >>> turn_frames(one, Turn(90))[0, :, :, 0].tolist()
    [[2, 0], [3, 1]]
    """
    frames = frames[:, :, ::-1] if turn.mirrored else frames
    return np.rot90(frames, -turn.degrees // 90, axes=(1, 2))


def turn_boxes(boxes: np.ndarray, turn: Turn) -> np.ndarray:
    """Rotate normalized xyxy boxes together with their frames.

    >>> turn_boxes(np.array([[0.0, 0.0, 0.25, 0.5]]), Turn(90)).tolist()
    [[0.5, 0.0, 1.0, 0.25]]
    >>> turn_boxes(np.array([[0.0, 0.0, 0.25, 0.5]]), Turn(0, mirrored=True)).tolist()
    [[0.75, 0.0, 1.0, 0.5]]
    """
    x1, y1, x2, y2 = np.asarray(boxes).reshape(-1, 4).T
    if turn.mirrored:
        x1, x2 = 1 - x2, 1 - x1
    for _ in range(turn.degrees // 90 % 4):
        x1, y1, x2, y2 = 1 - y2, x1, 1 - y1, x2
    return np.stack([x1, y1, x2, y2], axis=1)


class TurnedWindows(KeyFrameWindows):
    """A dataset of windows that are all rotated in the same way."""

    def __init__(self, items: Sequence[KeyFrame], data: Data, turn: Turn, **options: Any) -> None:
        turned = [replace(item, boxes=turn_boxes(item.boxes, turn).astype(np.float32)) for item in items]
        super().__init__(turned, data, **options)
        self.turn = turn

    def _frames(self, item: KeyFrame) -> np.ndarray:
        return turn_frames(super()._frames(item), self.turn)


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
        data: How the model is fed.
        turns: At least two; the first is the baseline.
        protocol: ``"paper"`` or ``"instance"``.
        resamples: The former number of bootstrap resamples; it has no effect.
        seed: Seed of the orders in which tests rank equal scores under ``"instance"``.
        batch: Key frames per forward pass.

    Returns:
        ``turns`` with the mAP of each and, if any turn rotates, ``gap`` and ``classes``: the score of the first turn
        minus the mean of those with another rotation, overall and by action. Above 0, the model relies on the
        upright view.

    Raises:
        RecipeError: If there are fewer than two turns.
    """
    from accelerate import Accelerator

    if len(turns) < 2:
        raise RecipeError(
            f"the probe compares turns, given {len(turns)}; give at least two, of which the first is the baseline"
        )
    accelerator = Accelerator()
    model = model.to(accelerator.device)
    references = read_rows(reference_columns(items), references=True)
    settings = HarSettings(protocol, scores_are="logits", missing="zero")
    scored, skipped = {}, 0
    for turn in turns:
        windows = TurnedWindows(items, data, turn, center_crop=data.test_crop)
        logits = predict_logits(
            accelerator, model, windows, batch=batch, workers=data.workers, what=f"turned {turn.name}"
        )
        skipped = max(skipped, len(items) - len(logits))
        scored[turn.name] = score_har(read_rows(prediction_columns(items, logits)), references, settings)
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
        "protocol": protocol,
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
