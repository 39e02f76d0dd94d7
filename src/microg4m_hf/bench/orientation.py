"""The orientation probe: the same model on the same clips, turned. Weightlessness takes "up" away; who needs it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..errors import RecipeError
from ..metrics.bootstrap import interval
from ..metrics.har.inputs import read_rows
from ..metrics.har.result import HarSettings, score_har
from ..metrics.significance import add_corrected_p_values, paired_test
from ..taxonomy import ACTIONS
from ..training.dataset import KeyFrame, KeyFrameWindows
from ..training.predict import predict_logits, prediction_columns, reference_columns
from ..training.predict_run import load_model, recipe_of
from ..training.recipe import Data

# Clips turned by quarters and mirrored, boxes with them: what weightlessness does to "up".


class Turn(NamedTuple):
    """Mirrored left to right or not, then turned clockwise."""

    degrees: int
    mirrored: bool = False

    @property
    def name(self) -> str:
        return f"{self.degrees}°{', mirrored' if self.mirrored else ''}"


TURNS = (Turn(0), Turn(90), Turn(180), Turn(270), Turn(0, mirrored=True))


def turn_frames(frames: np.ndarray, turn: Turn) -> np.ndarray:
    """Frames ``(T, H, W, 3)`` turned; a quarter swaps height and width.

    >>> one = np.arange(4).reshape(1, 2, 2, 1)
    >>> turn_frames(one, Turn(90))[0, :, :, 0].tolist()
    [[2, 0], [3, 1]]
    """
    shown = frames[:, :, ::-1] if turn.mirrored else frames
    return np.rot90(shown, -turn.degrees // 90, axes=(1, 2))


def turn_boxes(boxes: np.ndarray, turn: Turn) -> np.ndarray:
    """Normalised xyxy boxes where the turned picture has them.

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
    """The windows of key frames, every one turned alike."""

    def __init__(self, items: Sequence[KeyFrame], data: Data, turn: Turn, **options: Any) -> None:
        moved = [replace(item, boxes=turn_boxes(item.boxes, turn).astype(np.float32)) for item in items]
        super().__init__(moved, data, **options)
        self.turn = turn

    def _frames(self, item: KeyFrame) -> np.ndarray:
        return turn_frames(super()._frames(item), self.turn)


def orientation_probe(
    model: Any,
    items: Sequence[KeyFrame],
    data: Data,
    *,
    turns: Sequence[Turn] = TURNS,
    protocol: str = "paper",
    resamples: int = 1000,
    seed: int = 0,
    batch: int = 8,
) -> dict[str, Any]:
    """Score ``model`` on ``items`` under every turn; all turns are compared with the first on the same draws of films.

    ``gap`` is the mAP of the first turn minus the mean of the quarter turns that are neither it nor its mirror image:
    above zero, the model relies on what is up. A quarter turn also makes a wide frame tall; half a turn does not.
    """
    from accelerate import Accelerator

    if len(turns) < 2:
        raise RecipeError("the probe compares turns; give at least two, the first is the one to compare with")
    accelerator = Accelerator()
    model = model.to(accelerator.device)
    truth = read_rows(reference_columns(items), references=True)
    settings = HarSettings(protocol, scores_are="logits", missing="zero")
    scored, left_out = {}, 0
    for turn in turns:
        windows = TurnedWindows(items, data, turn, center_crop=data.test_crop)
        logits = predict_logits(
            accelerator, model, windows, batch=batch, workers=data.workers, what=f"turned {turn.name}"
        )
        left_out = max(left_out, len(items) - len(logits))
        scored[turn.name] = score_har(read_rows(prediction_columns(items, logits)), truth, settings)
    drawn = {name: result.resample(resamples, seed) for name, result in scored.items()}
    classes = {name: result.per_class for name, result in scored.items()}
    first = turns[0].name
    rows: list[dict[str, Any]] = []
    for name in scored:
        value, samples = float(classes[name].macro()["map"]), drawn[name].macro()["map"]
        row: dict[str, Any] = {"turn": name, "map": value, "interval": list(interval(samples))}
        if name != first:
            tested = paired_test(value - rows[0]["map"], samples - drawn[first].macro()["map"])
            row |= {"difference": tested["difference"], "difference_interval": tested["interval"], "p": tested["p"]}
        rows.append(row)
    add_corrected_p_values(rows[1:])
    turned = [turn.name for turn in turns[1:] if turn.degrees % 360 != turns[0].degrees % 360]
    result = {
        "turns": rows,
        "left_out_clips": left_out,
        "key_frames": len(items),
        "protocol": protocol,
        "resamples": resamples,
        "seed": seed,
    }
    if turned:
        result["gap"] = _gap(
            classes[first].macro()["map"],
            [classes[name].macro()["map"] for name in turned],
            drawn[first].macro()["map"],
            [drawn[name].macro()["map"] for name in turned],
        )
        result["classes"] = _class_gaps(
            first, list(scored), turned, classes, drawn, next(iter(scored.values())).classes
        )
    return result


def _gap(value: Any, others: Sequence[Any], samples: np.ndarray, turned: Sequence[np.ndarray]) -> dict[str, Any]:
    return paired_test(float(value - np.mean(others)), samples - np.mean(turned, axis=0))


def _class_gaps(
    first: str, names: Sequence[str], turned: Sequence[str], classes: Any, drawn: Any, ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Each action's average precision under every turn, and its gap."""
    place = {action: spot for spot, action in enumerate(ids)}
    table = []
    for action in ACTIONS:
        spot = place.get(action.action_id)
        if spot is None or np.isnan(classes[first].ap[spot]):
            continue
        gap = _gap(
            classes[first].ap[spot],
            [classes[name].ap[spot] for name in turned],
            drawn[first].ap[:, spot],
            [drawn[name].ap[:, spot] for name in turned],
        )
        values = {name: float(classes[name].ap[spot]) for name in names}
        table.append({"action_id": action.action_id, "name": action.name, "ap": values, **gap})
    add_corrected_p_values(table)
    return table


def open_model(place: str) -> tuple[Any, Data]:
    """Return a model and how it is fed, as ``microg4m predict har`` loads and feeds it.

    Args:
        place: A run folder, a model folder or a Hub id.
    """
    recipe = recipe_of(place)
    return load_model(recipe), recipe.data
