"""Match detections with labeled boxes by overlap, for all frames at once, by the rule of the AVA (PASCAL) evaluator."""

from __future__ import annotations

import numpy as np

IOU = 0.5


def true_positives(
    keys: np.ndarray, boxes: np.ndarray, truth_keys: np.ndarray, truth_boxes: np.ndarray, *, iou: float = IOU
) -> np.ndarray:
    """Mark the detections that find a labeled box; a key stands for one frame and one class.

    A detection can only claim the labeled box of highest overlap, never a second choice. The first detection to claim
    a box, in the order given, gets it.

    >>> box = np.array([[0, 0, 1, 1.0], [0, 0, 1, 0.9]])
    >>> true_positives(np.array([3, 3]), box, np.array([3]), box[:1]).tolist()
    [True, False]
    """
    best, value = best_matches(keys, boxes, truth_keys, truth_boxes)
    claiming = np.flatnonzero((best >= 0) & (value >= iou))
    found = np.zeros(len(keys), dtype=bool)
    found[claiming[np.unique(best[claiming], return_index=True)[1]]] = True
    return found


def best_matches(
    keys: np.ndarray, boxes: np.ndarray, other_keys: np.ndarray, other_boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each box the index (-1 for none) and IoU of the first box of highest overlap with the same key."""
    left, right = match_keys(keys, other_keys)
    iou = paired_iou(boxes[left], other_boxes[right])
    best, value = np.full(len(keys), -1), np.zeros(len(keys))
    if left.size:
        first = np.flatnonzero(np.r_[True, left[1:] != left[:-1]])
        top = np.maximum.reduceat(iou, first)
        winners = np.flatnonzero(iou == np.repeat(top, np.diff(np.r_[first, left.size])))
        rows, position = np.unique(left[winners], return_index=True)
        best[rows], value[rows] = right[winners[position]], iou[winners[position]]
    return best, value


def match_keys(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs (i, j) with ``left[i] == right[j]``, ordered by i and then by j.

    >>> [index.tolist() for index in match_keys(np.array([7, 5, 7]), np.array([7, 6, 7]))]
    [[0, 0, 2, 2], [0, 2, 0, 2]]
    """
    by_key = np.argsort(right, kind="stable")
    keys = right[by_key]
    begin = np.searchsorted(keys, left, side="left")
    count = np.searchsorted(keys, left, side="right") - begin
    some = np.flatnonzero(count)  # most rows of a detection file have no partner at all
    begin, count = begin[some], count[some]
    ends = np.cumsum(count)
    within = np.arange(ends[-1] if ends.size else 0) - np.repeat(ends - count, count)
    return np.repeat(some, count), by_key[np.repeat(begin, count) + within]


def paired_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes ``(x1, y1, x2, y2)``, pair by pair.

    >>> paired_iou(np.array([[0, 0, 1, 1.0]]), np.array([[0, 0, 1, 0.5]])).tolist()
    [0.5]
    """
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    sides = np.maximum(high - low, 0.0)
    shared = sides[:, 0] * sides[:, 1]
    first_area, second_area = ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) for box in (first, second))
    union = first_area + second_area - shared
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(union > 0, shared / union, 0.0)
