"""Rank detections of all classes and compute average precision: as ranked, over all orders of ties, in resamples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from .published_order import published_order

BLOCK = 50  # rows of weights that share one piece of memory
ORDERS = 8  # random orders of equal scores whose mean stands for their expectation


@dataclass(frozen=True)
class Ranking:
    """Detections of all classes, class by class, best score first; equal scores form groups."""

    order: np.ndarray  # indices into the rows that were ranked
    hit: np.ndarray  # per ranked row: found a labeled box
    start: np.ndarray  # (classes + 1,) where each class begins
    group: np.ndarray  # per ranked row: number of its group of equal scores
    group_start: np.ndarray  # per group: its first place
    group_hits: np.ndarray  # per group: how many rows are hits
    collected: np.ndarray  # the rows class by class, each class in the order given
    place: np.ndarray  # per ranked row: its place in `collected`, counted within the class

    @property
    def group_size(self) -> np.ndarray:
        """Per group: its number of rows."""
        return np.diff(np.r_[self.group_start, self.order.size])

    @property
    def mixed(self) -> np.ndarray:
        """Per group: it holds hits and misses, so that its order changes the average precision."""
        return (self.group_hits > 0) & (self.group_hits < self.group_size)

    @property
    def tied(self) -> np.ndarray:
        """Per ranked row: another row of the same class has the same score."""
        return (self.group_size > 1)[self.group]


def rank(classes: np.ndarray, scores: np.ndarray, hit: np.ndarray, count: int) -> Ranking:
    """Rank each class by score; rows with equal scores keep the order given."""
    collected, start, place = sort_by_class(classes, -scores, count)
    order = collected[place + np.repeat(start[:-1], np.diff(start))]
    new = find_groups(scores[order], start)
    group, group_start = np.cumsum(new) - 1, np.flatnonzero(new)
    hits = hit[order]
    group_hits = np.bincount(group[hits], minlength=group_start.size)
    return Ranking(order, hits, start, group, group_start, group_hits, collected, place)


def sort_by_class(classes: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows class by class, where each class begins, and each class's places from lowest to highest value."""
    rows = np.argsort(classes.astype(np.int16), kind="stable")
    start = np.r_[0, np.cumsum(np.bincount(classes, minlength=count))]
    grouped = values[rows]
    place = np.empty(rows.size, dtype=np.int64)
    for begin, end in pairwise(start):
        place[begin:end] = np.argsort(grouped[begin:end], kind="stable")
    return rows, start, place


def find_groups(ranked: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Mark the first row of each group of equal scores within a class."""
    new = np.ones(ranked.size, dtype=bool)
    new[1:] = ranked[1:] != ranked[:-1]
    new[start[:-1][start[:-1] < ranked.size]] = True
    return new


def apply_published_order(ranking: Ranking, scores: np.ndarray) -> Ranking:
    """Return the same ranking with equal scores in the order of the published evaluation.

    ``scores`` are the scores that were ranked, in the order in which that evaluation collected them.
    """
    mixed = ranking.mixed[ranking.group]
    order, hit, place = ranking.order.copy(), ranking.hit.copy(), ranking.place.copy()
    for begin, end in pairwise(ranking.start):
        own = slice(begin, end)
        if not mixed[own].any():
            continue
        matters, hits = np.empty(end - begin, dtype=bool), np.empty(end - begin, dtype=bool)
        matters[ranking.place[own]] = mixed[own]
        hits[ranking.place[own]] = ranking.hit[own]
        collected = ranking.collected[own]
        best_first = published_order(scores[collected], matters)[::-1]
        order[own], hit[own], place[own] = collected[best_first], hits[best_first], best_first
    return replace(ranking, order=order, hit=hit, place=place)


def average_precisions(hit: np.ndarray, start: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Return the area under each class's precision envelope; nan where a class has no labeled box.

    >>> average_precisions(np.array([True, False, True]), np.array([0, 3]), np.array([2])).round(4).tolist()
    [0.8333]
    """
    result = np.where(positives > 0, 0.0, np.nan)
    places = np.flatnonzero(hit)
    bounds = np.searchsorted(places, start)
    for label in np.flatnonzero(positives > 0):
        own = places[bounds[label] : bounds[label + 1]]
        if own.size:
            precision = np.arange(1, own.size + 1) / (own - start[label] + 1)
            envelope = np.maximum.accumulate(precision[::-1])
            result[label] = envelope.sum() / positives[label]
    return result


def tie_range(ranking: Ranking, positives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return per class the lowest and highest average precision that an order of equal scores can give."""
    place = np.arange(ranking.order.size) - ranking.group_start[ranking.group]
    hits = ranking.group_hits[ranking.group]
    misses = ranking.group_size[ranking.group] - hits
    lowest = average_precisions(place >= misses, ranking.start, positives)
    highest = average_precisions(place < hits, ranking.start, positives)
    return lowest, highest


def weighted_precisions(
    ranking: Ranking, source: np.ndarray, positives: np.ndarray, weights: np.ndarray, *, shuffle_seed: int | None = None
) -> np.ndarray:
    """Compute average precision in many resamples at once, ``(resamples, classes)``; nan without a labeled box.

    A row counts as often as its ``source`` does (``weights``, resamples x sources); ``positives`` holds the labeled
    boxes per source and class. Equal scores keep the order of the ranking; with ``shuffle_seed``, the result is the
    mean over random orders, the same ones in every resample, so that resamples differ in their sources alone.
    """
    labeled = weights @ positives
    source = np.asarray(source)
    orders: list[np.ndarray | slice] = [slice(None)]
    if shuffle_seed is not None and ranking.mixed.any():
        random = np.random.RandomState(shuffle_seed)
        orders = [np.lexsort((random.random_sample(ranking.group.size), ranking.group)) for _ in range(ORDERS)]
    total = np.zeros(labeled.shape)
    for order in orders:
        result = np.where(labeled > 0, 0.0, np.nan)
        hit, owner = ranking.hit[order], source[order]
        for begin in range(0, len(weights), BLOCK):
            block = slice(begin, begin + BLOCK)
            _fill_block(result[block], hit, owner, ranking.start, weights[block], labeled[block])
        total += result
    return total / len(orders)


def _fill_block(
    result: np.ndarray, hit: np.ndarray, source: np.ndarray, start: np.ndarray, weights: np.ndarray, labeled: np.ndarray
) -> None:
    for label in np.flatnonzero((labeled > 0).any(axis=0)):
        own = slice(start[label], start[label + 1])
        places = np.flatnonzero(hit[own])
        if not places.size:
            continue
        drawn = weights[:, source[own][: places[-1] + 1]]  # rows after the last hit change nothing
        before = np.cumsum(drawn, axis=1)[:, places]
        mass = drawn[:, places]
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(mass > 0, np.cumsum(mass, axis=1) / before, 0.0)
            envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            area = (mass * envelope).sum(axis=1) / labeled[:, label]
        result[:, label] = np.where(labeled[:, label] > 0, area, np.nan)
