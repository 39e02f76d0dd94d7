"""F1, recall, precision and AUROC per class, from one row per box and class; weights make them resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ranking import by_class


@dataclass(frozen=True)
class Decisions:
    """One row per box and class, sorted by class and then by score, lowest first."""

    start: np.ndarray  # (classes + 1,) where each class begins
    group: np.ndarray  # per row: number of its group of equal scores
    cluster: np.ndarray  # per row: index of its source
    positive: np.ndarray  # per row: the box has the class
    predicted: np.ndarray  # per row: the score reaches the threshold


def decisions(
    label: np.ndarray,
    score: np.ndarray,
    positive: np.ndarray,
    predicted: np.ndarray,
    cluster: np.ndarray,
    classes: int,
) -> Decisions:
    """Sort rows for ``counts`` and ``auroc``."""
    rows, start, place = by_class(label, score, classes)
    order = rows[place + np.repeat(start[:-1], np.diff(start))]
    ranked = score[order]
    new = np.ones(order.size, dtype=bool)
    new[1:] = ranked[1:] != ranked[:-1]
    new[start[:-1][start[:-1] < order.size]] = True
    return Decisions(start, np.cumsum(new) - 1, cluster[order], positive[order], predicted[order])


def counts(rows: Decisions, clusters: int) -> np.ndarray:
    """Hits, predicted and positive boxes per cluster and class: shape ``(3, clusters, classes)``."""
    classes = rows.start.size - 1
    label = np.repeat(np.arange(classes), np.diff(rows.start))
    place = rows.cluster * classes + label
    size = clusters * classes
    return np.stack(
        [
            np.bincount(place[chosen], minlength=size).reshape(clusters, classes)
            for chosen in (rows.positive & rows.predicted, rows.predicted, rows.positive)
        ]
    )


def f1_recall_precision(hits: np.ndarray, predicted: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, ...]:
    """Element by element, 0 where undefined.

    >>> [score.tolist() for score in f1_recall_precision(np.array([1, 0]), np.array([2, 0]), np.array([1, 0]))]
    [[0.6666666666666666, 0.0], [1.0, 0.0], [0.5, 0.0]]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(predicted + positive > 0, 2 * hits / (predicted + positive), 0.0)
        recall = np.where(positive > 0, hits / positive, 0.0)
        precision = np.where(predicted > 0, hits / predicted, 0.0)
    return f1, recall, precision


def auroc(rows: Decisions) -> np.ndarray:
    """Chance that a positive box outscores a negative one (equal scores count half); nan without both."""
    classes = rows.start.size - 1
    result = np.full(classes, np.nan)
    if not rows.group.size:
        return result
    size = np.bincount(rows.group)
    begin = np.cumsum(size) - size
    middle_rank = (begin + (size + 1) / 2)[rows.group]  # of all rows; made relative to the class below
    label = np.repeat(np.arange(classes), np.diff(rows.start))
    rank_sum = np.bincount(label[rows.positive], middle_rank[rows.positive], minlength=classes)
    positives = np.bincount(label[rows.positive], minlength=classes)
    negatives = np.diff(rows.start) - positives
    with np.errstate(divide="ignore", invalid="ignore"):
        area = (rank_sum - positives * rows.start[:-1] - positives * (positives + 1) / 2) / (positives * negatives)
    return np.where((positives > 0) & (negatives > 0), area, np.nan)


def weighted_auroc(rows: Decisions, weights: np.ndarray) -> np.ndarray:
    """AUROC in each resample: ``weights`` is (resamples, clusters), the result (resamples, classes)."""
    classes = rows.start.size - 1
    result = np.full((len(weights), classes), np.nan)
    for label in range(classes):
        own = slice(rows.start[label], rows.start[label + 1])
        positive = rows.positive[own]
        if not positive.any() or positive.all():
            continue
        drawn = weights[:, rows.cluster[own]].astype(np.int64)
        below = np.cumsum(np.where(positive, 0, drawn), axis=1)  # negatives up to and with each row
        group = rows.group[own] - rows.group[own.start]
        last = np.r_[np.flatnonzero(np.diff(group)), group.size - 1]  # last row of each group of equal scores
        upto = below[:, last]
        under = np.concatenate([np.zeros((len(weights), 1), dtype=np.int64), upto[:, :-1]], axis=1)
        wins = ((upto + under) / 2)[:, group[positive]]
        mass = drawn[:, positive]
        pairs = mass.sum(axis=1) * below[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            result[:, label] = np.where(pairs > 0, (mass * wins).sum(axis=1) / pairs, np.nan)
    return result
