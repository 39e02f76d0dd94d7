"""Align predictions with references: group rows into boxes, assign boxes to persons, find missing and repeated rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import list_some
from .checks import check_policies, check_predictions, check_references
from .matching import IOU, best_matches, match_keys, paired_iou
from .rows import ActionRows, share_videos

SAME_BOX = 0.9  # overlap of a labeled box with itself after rounding; a detector's own boxes rarely all reach it
_ACTIONS = 4096  # more than the highest action id: boxes * _ACTIONS + action is one number per box and action


@dataclass(frozen=True)
class DistinctBoxes:
    """The distinct boxes of some rows. A box scored several times has several copies."""

    of_row: np.ndarray  # per row: number of its box
    copy: np.ndarray  # per row: 0 for the first row of its box and action, 1 for the second, …
    first: np.ndarray  # per box: its first row
    copies: np.ndarray  # per box: how often it occurs

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class Alignment:
    """Checked rows of both sides under the same clip codes."""

    predictions: ActionRows
    references: ActionRows
    boxes: DistinctBoxes  # of the predictions
    persons: DistinctBoxes  # of the references
    partner: np.ndarray  # per predicted box: its labeled person, -1 for none
    on_labeled_boxes: bool  # predictions are for the labeled boxes, not for those of a detector
    missing: np.ndarray  # labeled persons without a prediction
    repeated: int  # rows that repeat an earlier one exactly
    dropped: int  # rows of unknown clips that were dropped on request


def align(
    predictions: ActionRows,
    references: ActionRows,
    classes: Sequence[int],
    *,
    iou: float = IOU,
    missing: str = "error",
    unknown: str = "error",
) -> Alignment:
    """Check both sides and find the labeled person of each predicted box.

    Args:
        predictions: Rows with scores.
        references: Rows of labeled boxes.
        classes: Action ids that may be predicted.
        iou: Overlap from which a box is a person's.
        missing: ``"error"``, ``"zero"`` or ``"drop"``: what to do about labeled boxes without a prediction.
        unknown: ``"error"`` or ``"drop"``: what to do about clips that the references lack.

    Returns:
        Both sides with their boxes and partners.

    Raises:
        PredictionError: The predictions or options cannot be used.
        DataError: The references cannot be used.
    """
    check_policies(missing, unknown)
    check_references(references, classes)
    predictions, dropped = check_predictions(share_videos(predictions, references), references, classes, unknown)
    persons, boxes = group_boxes(references), group_boxes(predictions)
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
    on_labeled_boxes = bool((best_matches(key, box, truth_key, truth_box)[1] >= SAME_BOX).all())
    found = np.zeros(len(persons), dtype=bool)
    found[partner[partner >= 0]] = True
    lost = np.flatnonzero(~found)
    if lost.size and not np.isin(truth_key, key).any():
        first = references.where(int(persons.first[lost[0]]))
        raise predictions.error(
            f"no prediction lies on a frame of the references; their first is {first}",
            "frame numbers must be those of the key-frame files",
        )
    if lost.size and on_labeled_boxes and missing == "error":
        names = [f"{references.videos[references.video[row]]}:{references.frame[row]}" for row in persons.first[lost]]
        raise predictions.error(
            f"{lost.size} of {len(persons)} boxes have no prediction: {list_some(dict.fromkeys(names))}",
            "predict them, or pass missing='zero' to count them as not predicted, or 'drop' to leave them out",
        )
    if lost.size and missing == "drop":
        references = references.take(np.flatnonzero(found[persons.of_row]))
        partner = np.where(partner >= 0, np.cumsum(found)[partner] - 1, -1)
        persons = group_boxes(references)
    return Alignment(predictions, references, boxes, persons, partner, on_labeled_boxes, lost, repeated, dropped)


def refuse_no_match(alignment: Alignment, iou: float) -> None:
    """Raise an error if no labeled box is left to score, as with ``missing="drop"`` and boxes in pixels."""
    if not len(alignment.persons):
        raise alignment.predictions.error(
            f"none of the predicted boxes lies on a labeled one (IoU of {iou:g} or more)",
            "boxes must be x1, y1, x2, y2, as fractions of width and height",
        )


def group_boxes(rows: ActionRows) -> DistinctBoxes:
    """Number the distinct boxes (frame, sides and, where known, person) of rows by first appearance."""
    if not len(rows):
        none = np.empty(0, dtype=np.int64)
        return DistinctBoxes(none, none, none, none)
    parts = [rows.key, *rows.box.T]
    if rows.person is not None:
        parts.append(rows.person)
    # Files list the actions of a box together, so runs of equal rows are compared instead of rows.
    new = np.zeros(len(rows), dtype=bool)
    new[0] = True
    for part in parts:
        new[1:] |= part[1:] != part[:-1]
    begin = np.flatnonzero(new)
    order = np.lexsort([part[begin] for part in reversed(parts)])
    fresh = np.ones(begin.size, dtype=bool)
    fresh[1:] = np.logical_or.reduce([part[begin[order[1:]]] != part[begin[order[:-1]]] for part in parts])
    number = np.empty(begin.size, dtype=np.int64)
    number[order] = np.cumsum(fresh) - 1
    first_run = np.full(int(fresh.sum()), begin.size)
    np.minimum.at(first_run, number, np.arange(begin.size))
    by_appearance = np.argsort(first_run, kind="stable")
    renumber = np.empty(by_appearance.size, dtype=np.int64)
    renumber[by_appearance] = np.arange(by_appearance.size)
    of_row = renumber[number][np.cumsum(new) - 1]
    copy = _number_copies(of_row * (int(rows.action.max()) + 1) + rows.action)
    copies = np.ones(by_appearance.size, dtype=np.int64)
    np.maximum.at(copies, of_row, copy + 1)
    return DistinctBoxes(of_row, copy, begin[first_run[by_appearance]], copies)


def _number_copies(items: np.ndarray) -> np.ndarray:
    """Return 0 for the first of equal items (small integers), 1 for the second, …"""
    copy = np.zeros(items.size, dtype=np.int64)
    several = np.flatnonzero(np.bincount(items)[items] > 1)
    if several.size:
        order = several[np.argsort(items[several], kind="stable")]
        begin = np.flatnonzero(np.r_[True, items[order[1:]] != items[order[:-1]]])
        copy[order] = np.arange(order.size) - np.repeat(begin, np.diff(np.r_[begin, order.size]))
    return copy


def pair_persons(
    key: np.ndarray,
    box: np.ndarray,
    truth_key: np.ndarray,
    truth_box: np.ndarray,
    *,
    iou: float,
    person: np.ndarray | None = None,
    truth_person: np.ndarray | None = None,
) -> np.ndarray:
    """Return the labeled person of each predicted box, one to one, -1 for none.

    The pair of highest overlap goes first; of equals the one with the same ``person``, then the first in order.

    >>> boxes = np.array([[0, 0, 1, 1.0], [0, 0, 1, 0.8]])
    >>> pair_persons(np.array([1, 1]), boxes, np.array([1]), boxes[1:], iou=0.5).tolist()
    [-1, 0]
    """
    left, right = match_keys(key, truth_key)
    overlap = paired_iou(box[left], truth_box[right])
    near = overlap >= iou
    left, right, overlap = left[near], right[near], overlap[near]
    other = np.zeros(left.size, dtype=bool)
    if person is not None and truth_person is not None:
        other = person[left] != truth_person[right]
    partner = np.full(len(key), -1)
    taken = np.zeros(len(truth_key), dtype=bool)
    for pair in np.lexsort((right, left, other, -overlap)):
        one, two = left[pair], right[pair]
        if partner[one] < 0 and not taken[two]:
            partner[one] = two
            taken[two] = True
    return partner


def _without_conflicts(
    predictions: ActionRows, boxes: DistinctBoxes, references: ActionRows, persons: DistinctBoxes
) -> tuple[ActionRows, DistinctBoxes, int]:
    """Refuse a box with two scores for one action, unless that many persons share the box; count repeated rows."""
    again = np.flatnonzero(boxes.copy > 0)
    if not again.size:
        return predictions, boxes, 0
    assert predictions.score is not None
    slot = boxes.of_row * _ACTIONS + predictions.action
    originals = np.flatnonzero(boxes.copy == 0)
    originals = originals[np.argsort(slot[originals], kind="stable")]
    original = originals[np.searchsorted(slot[originals], slot[again])]
    different = predictions.score[again] != predictions.score[original]
    if not different.any():
        return predictions, boxes, int(again.size)
    sharing = _persons_on(predictions, boxes, references, persons)
    if (boxes.copies[boxes.of_row[again[different]]] <= sharing[boxes.of_row[again[different]]]).all():
        apart = replace(predictions, person=boxes.copy)
        return apart, group_boxes(apart), 0
    row = int(again[different][0])
    raise predictions.error(
        f"action {int(predictions.action[row])} of this box has two scores, "
        f"{float(predictions.score[original[different][0]])!r} and {float(predictions.score[row])!r} "
        f"({int(different.sum())} such rows)",
        "keep one row per box and action; a box that was scored twice with equal scores is accepted",
        row=row,
    )


def _persons_on(
    predictions: ActionRows, boxes: DistinctBoxes, references: ActionRows, persons: DistinctBoxes
) -> np.ndarray:
    """Count the labeled persons that have exactly the box of each predicted one."""
    labeled, predicted = (
        [(key, *box) for key, box in zip(rows.key[first].tolist(), rows.box[first].tolist(), strict=True)]
        for rows, first in ((references, persons.first), (predictions, boxes.first))
    )
    count = Counter(labeled)
    return np.array([count[box] for box in predicted])
