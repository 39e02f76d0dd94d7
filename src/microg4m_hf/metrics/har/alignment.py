"""Predictions laid beside references: same clips, same boxes, what is missing, what came twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import PredictionError
from .checks import check_predictions, check_references, listed
from .matching import IOU, best_partners, joined, overlaps
from .rows import ActionRows, fail, same_videos

# From rows to boxes: which rows belong to one box, and which predicted box is which labelled person.

SAME_BOX = 0.9  # predictions for given boxes carry them rounded; a detector's own boxes overlap less evenly


@dataclass(frozen=True)
class Boxes:
    """Distinct boxes of some rows. A box scored several times has several copies."""

    of_row: np.ndarray  # per row: number of its box
    copy: np.ndarray  # per row: 0 for the first row of its box and action, 1 for the second, …
    first: np.ndarray  # per box: its first row
    copies: np.ndarray  # per box: how often it came

    def __len__(self) -> int:
        return len(self.first)


def group_boxes(rows: ActionRows, key: np.ndarray, *, by_person: bool = False) -> Boxes:
    """Number the distinct (frame, box) of rows by first appearance; with ``by_person`` also persons apart."""
    if not len(rows):
        none = np.empty(0, dtype=np.int64)
        return Boxes(none, none, none, none)
    parts = [key, *rows.box.T]
    if by_person and rows.person is not None:
        parts.append(rows.person)
    # Files list the actions of a box together: compare neighbours first, and only runs among each other.
    new = np.zeros(len(rows), dtype=bool)
    new[0] = True
    for part in parts:
        new[1:] |= part[1:] != part[:-1]
    begin = np.flatnonzero(new)
    run_of_row = np.cumsum(new) - 1
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
    of_row = renumber[number][run_of_row]
    copy = _copies(of_row * (int(rows.action.max()) + 1) + rows.action)
    copies = np.ones(by_appearance.size, dtype=np.int64)
    np.maximum.at(copies, of_row, copy + 1)
    return Boxes(of_row, copy, begin[first_run[by_appearance]], copies)


def _copies(items: np.ndarray) -> np.ndarray:
    """0 for the first of equal items (small integers), 1 for the second, …"""
    copy = np.zeros(items.size, dtype=np.int64)
    several = np.flatnonzero(np.bincount(items)[items] > 1)
    if several.size:
        order = several[np.argsort(items[several], kind="stable")]
        begin = np.flatnonzero(np.r_[True, items[order[1:]] != items[order[:-1]]])
        copy[order] = np.arange(order.size) - np.repeat(begin, np.diff(np.r_[begin, order.size]))
    return copy


def on_labelled_boxes(key: np.ndarray, box: np.ndarray, truth_key: np.ndarray, truth_box: np.ndarray) -> np.ndarray:
    """Per predicted box: it is one of the labelled boxes (up to rounding)."""
    return best_partners(key, box, truth_key, truth_box)[1] >= SAME_BOX


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
    """For each predicted box the labelled person it stands for, one to one, -1 for none.

    The pair of highest overlap goes first; of equals the one with the same ``person``, then the first in order.

    >>> boxes = np.array([[0, 0, 1, 1.0], [0, 0, 1, 0.8]])
    >>> pair_persons(np.array([1, 1]), boxes, np.array([1]), boxes[1:], iou=0.5).tolist()
    [-1, 0]
    """
    left, right = joined(key, truth_key)
    overlap = overlaps(box[left], truth_box[right])
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


MISSING = ("error", "zero", "drop")


@dataclass(frozen=True)
class Alignment:
    """Checked rows of both sides under the same clip codes."""

    predictions: ActionRows
    references: ActionRows
    boxes: Boxes  # of the predictions
    persons: Boxes  # of the references
    partner: np.ndarray  # per predicted box: its labelled person, -1 for none
    on_labeled_boxes: bool  # predictions are for the labelled boxes (True) or for boxes of a detector (False)
    missing: np.ndarray  # labelled persons without a prediction
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
    return Alignment(predictions, references, boxes, persons, partner, given, lost, repeated, dropped)


def _without_conflicts(
    predictions: ActionRows, boxes: Boxes, references: ActionRows, persons: Boxes
) -> tuple[ActionRows, Boxes, int]:
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


def _persons_on(predictions: ActionRows, boxes: Boxes, references: ActionRows, persons: Boxes) -> np.ndarray:
    """How many labelled persons have exactly the box of each predicted one."""
    truth: dict[tuple[float, ...], int] = {}
    for row in persons.first:
        place = (int(references.key[row]), *references.box[row].tolist())
        truth[place] = truth.get(place, 0) + 1
    key = predictions.key
    return np.array([truth.get((int(key[row]), *predictions.box[row].tolist()), 0) for row in boxes.first])
