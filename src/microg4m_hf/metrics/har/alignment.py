"""Predictions laid beside references: same clips, same boxes, what is missing, what came twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import PredictionError
from .boxes import Boxes, group_boxes, on_labelled_boxes, pair_persons
from .checks import check_predictions, check_references, listed
from .matching import IOU
from .rows import Rows, fail, same_videos

MISSING = ("error", "zero", "drop")


@dataclass(frozen=True)
class Aligned:
    """Checked rows of both sides under the same clip codes."""

    predictions: Rows
    references: Rows
    boxes: Boxes  # of the predictions
    persons: Boxes  # of the references
    partner: np.ndarray  # per predicted box: its labelled person, -1 for none
    given: bool  # predictions are for the labelled boxes (True) or for boxes of a detector (False)
    missing: np.ndarray  # labelled persons without a prediction
    repeated: int  # rows that repeat an earlier one exactly
    dropped: int  # rows of unknown clips that were dropped on request


def align(
    predictions: Rows,
    references: Rows,
    classes: Sequence[int],
    *,
    iou: float = IOU,
    missing: str = "error",
    unknown: str = "error",
) -> Aligned:
    """Check both sides and find out which prediction belongs to whom."""
    if missing not in MISSING:
        raise PredictionError(f"missing={missing!r} is not known; use one of {', '.join(MISSING)}")
    check_references(references)
    predictions, dropped = check_predictions(same_videos(predictions, references), references, classes, unknown)
    persons = group_boxes(references, references.key, by_person=True)
    boxes = group_boxes(predictions, predictions.key, by_person=True)
    predictions, boxes, repeated = _without_conflicts(predictions, boxes, references, persons)
    key, box = predictions.key[boxes.first], predictions.box[boxes.first]
    truth_key, truth_box = references.key[persons.first], references.box[persons.first]
    partner = pair_persons(
        key,
        box,
        truth_key,
        truth_box,
        iou=iou,
        person=None if predictions.person is None else predictions.person[boxes.first],
        truth_person=None if references.person is None else references.person[persons.first],
    )
    given = bool(on_labelled_boxes(key, box, truth_key, truth_box).all())
    found = np.zeros(len(persons), dtype=bool)
    found[partner[partner >= 0]] = True
    lost = np.flatnonzero(~found)
    if lost.size and not np.isin(truth_key, key).any():
        row = int(persons.first[lost[0]])
        raise fail(
            predictions,
            f"no prediction lies on a frame of the references; their first is {references.where(row)}",
            "frame numbers must be those of the key-frame files",
        )
    if lost.size and given and missing == "error":
        names = [f"{references.videos[references.video[row]]}:{references.frame[row]}" for row in persons.first[lost]]
        raise fail(
            predictions,
            f"{lost.size} of {len(persons)} boxes have no prediction: {listed(names)}",
            "predict them, or pass missing='zero' to count them as not predicted, or 'drop' to leave them out",
        )
    if lost.size and missing == "drop":
        references = references.take(np.flatnonzero(found[persons.of_row]))
        partner = np.where(partner >= 0, np.cumsum(found)[partner] - 1, -1)
        persons = group_boxes(references, references.key, by_person=True)
    return Aligned(predictions, references, boxes, persons, partner, given, lost, repeated, dropped)


def _without_conflicts(predictions: Rows, boxes: Boxes, references: Rows, persons: Boxes) -> tuple[Rows, Boxes, int]:
    """Refuse one box with two scores for one action, unless that many persons share the box."""
    again = np.flatnonzero(boxes.copy > 0)
    if not again.size:
        return predictions, boxes, 0
    assert predictions.score is not None
    slot = boxes.of_row * 4096 + predictions.action
    originals = np.flatnonzero(boxes.copy == 0)
    originals = originals[np.argsort(slot[originals], kind="stable")]
    original = originals[np.searchsorted(slot[originals], slot[again])]
    different = predictions.score[again] != predictions.score[original]
    if not different.any():
        return predictions, boxes, int(again.size)
    sharing = _persons_on(predictions, boxes, references, persons)
    if (boxes.copies[boxes.of_row[again[different]]] <= sharing[boxes.of_row[again[different]]]).all():
        apart = replace(predictions, person=boxes.copy)
        return apart, group_boxes(apart, apart.key, by_person=True), 0
    row = int(again[different][0])
    raise fail(
        predictions.where(row),
        f"action {int(predictions.action[row])} of this box has two scores, "
        f"{float(predictions.score[original[different][0]])!r} and {float(predictions.score[row])!r} "
        f"({int(different.sum())} such rows)",
        "keep one row per box and action; a box that was scored twice with equal scores is accepted",
    )


def _persons_on(predictions: Rows, boxes: Boxes, references: Rows, persons: Boxes) -> np.ndarray:
    """How many labelled persons have exactly the box of each predicted one."""
    truth: dict[tuple[float, ...], int] = {}
    for row in persons.first:
        place = (int(references.key[row]), *references.box[row].tolist())
        truth[place] = truth.get(place, 0) + 1
    key = predictions.key
    return np.array([truth.get((int(key[row]), *predictions.box[row].tolist()), 0) for row in boxes.first])
