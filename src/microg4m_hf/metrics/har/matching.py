"""Which detection finds which labelled box: the rule of the AVA (PASCAL) evaluator, for all frames at once."""

from __future__ import annotations

import numpy as np

IOU = 0.5


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes ``(x1, y1, x2, y2)``, pair by pair.

    >>> overlaps(np.array([[0, 0, 1, 1.0]]), np.array([[0, 0, 1, 0.5]])).tolist()
    [0.5]
    """
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    sides = np.maximum(high - low, 0.0)
    shared = sides[:, 0] * sides[:, 1]
    union = _areas(first) + _areas(second) - shared
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(union > 0, shared / union, 0.0)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def joined(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (i, j) with ``left[i] == right[j]``, ordered by i and then by j.

    >>> [part.tolist() for part in joined(np.array([7, 5, 7]), np.array([7, 6, 7]))]
    [[0, 0, 2, 2], [0, 2, 0, 2]]
    """
    by_key = np.argsort(right, kind="stable")
    keys = right[by_key]
    begin = np.searchsorted(keys, left, side="left")
    count = np.searchsorted(keys, left, side="right") - begin
    some = np.flatnonzero(count)  # most left rows of a detection file have no partner at all
    begin, count = begin[some], count[some]
    ends = np.cumsum(count)
    within = np.arange(ends[-1] if ends.size else 0) - np.repeat(ends - count, count)
    return np.repeat(some, count), by_key[np.repeat(begin, count) + within]


def best_partners(
    keys: np.ndarray, boxes: np.ndarray, other_keys: np.ndarray, other_boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each box the index of the box of highest overlap among those with its key (first of equals; -1 if none)."""
    left, right = joined(keys, other_keys)
    iou = overlaps(boxes[left], other_boxes[right])
    best, value = np.full(len(keys), -1), np.zeros(len(keys))
    if left.size:
        first = np.flatnonzero(np.r_[True, left[1:] != left[:-1]])
        top = np.maximum.reduceat(iou, first)
        winners = np.flatnonzero(iou == np.repeat(top, np.diff(np.r_[first, left.size])))
        rows, position = np.unique(left[winners], return_index=True)
        best[rows], value[rows] = right[winners[position]], iou[winners[position]]
    return best, value


def true_positives(
    keys: np.ndarray,
    boxes: np.ndarray,
    truth_keys: np.ndarray,
    truth_boxes: np.ndarray,
    *,
    iou: float = IOU,
) -> np.ndarray:
    """Mark the detections that find a labelled box; a key stands for one frame and one class.

    A detection asks only for the labelled box of highest overlap, never for a second choice. The first to ask,
    in the order given, gets it.

    >>> box = np.array([[0, 0, 1, 1.0], [0, 0, 1, 0.9]])
    >>> true_positives(np.array([3, 3]), box, np.array([3]), box[:1]).tolist()
    [True, False]
    """
    best, value = best_partners(keys, boxes, truth_keys, truth_boxes)
    asking = np.flatnonzero((best >= 0) & (value >= iou))
    found = np.zeros(len(keys), dtype=bool)
    found[asking[np.unique(best[asking], return_index=True)[1]]] = True
    return found
