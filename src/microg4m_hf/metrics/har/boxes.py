"""From rows to boxes: which rows belong to one box, and which predicted box is which labelled person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .matching import best_partners, joined, overlaps
from .rows import Rows

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


def group_boxes(rows: Rows, key: np.ndarray, *, by_person: bool = False) -> Boxes:
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
