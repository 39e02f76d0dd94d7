"""F1, recall, precision and AUROC per class, from one row per box and class, as they are or in many resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .average_precision import find_groups, sort_by_class


@dataclass(frozen=True)
class Decisions:
    """One row per box and class, sorted by class and then by score, lowest first."""

    start: np.ndarray  # (classes + 1,) where each class begins
    group: np.ndarray  # per row: number of its group of equal scores
    cluster: np.ndarray  # per row: index of its source
    positive: np.ndarray  # per row: the box has the class
    predicted: np.ndarray  # per row: the score reaches the threshold


def sort_decisions(
    label: np.ndarray, score: np.ndarray, positive: np.ndarray, predicted: np.ndarray, cluster: np.ndarray, classes: int
) -> Decisions:
    """Sort rows for ``count_decisions`` and ``auroc``."""
    rows, start, place = sort_by_class(label, score, classes)
    order = rows[place + np.repeat(start[:-1], np.diff(start))]
    group = np.cumsum(find_groups(score[order], start)) - 1
    return Decisions(start, group, cluster[order], positive[order], predicted[order])


def count_decisions(rows: Decisions, clusters: int) -> np.ndarray:
    """Count hits, predicted and positive boxes per cluster and class: shape ``(3, clusters, classes)``."""
    classes = rows.start.size - 1
    label = np.repeat(np.arange(classes), np.diff(rows.start))
    place = rows.cluster * classes + label
    size = clusters * classes
    return np.stack(
        [
            np.bincount(place[mask], minlength=size).reshape(clusters, classes)
            for mask in (rows.positive & rows.predicted, rows.predicted, rows.positive)
        ]
    )


def f1_recall_precision(hits: np.ndarray, predicted: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, ...]:
    """Compute the three scores element by element, 0 where undefined.

    >>> [score.tolist() for score in f1_recall_precision(np.array([1, 0]), np.array([2, 0]), np.array([1, 0]))]
    [[0.6666666666666666, 0.0], [1.0, 0.0], [0.5, 0.0]]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(predicted + positive > 0, 2 * hits / (predicted + positive), 0.0)
        recall = np.where(positive > 0, hits / positive, 0.0)
        precision = np.where(predicted > 0, hits / predicted, 0.0)
    return f1, recall, precision


def auroc(rows: Decisions) -> np.ndarray:
    """Return the chance that a positive box outscores a negative one (equal scores count half); nan without both."""
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
    """Return AUROC in each resample: ``weights`` is (resamples, clusters), the result (resamples, classes).

    The pairs in which a positive of one cluster outscores a negative of another are counted once; each resample weighs
    these counts by how often it drew both clusters. All sums are whole or half numbers, and so exact.
    """
    classes = rows.start.size - 1
    drawn = weights.astype(np.float64)
    result = np.full((len(weights), classes), np.nan)
    for label in range(classes):
        own = slice(rows.start[label], rows.start[label + 1])
        positive = rows.positive[own]
        if not positive.any() or positive.all():
            continue
        owners, wins = _count_wins(positive, rows.group[own], rows.cluster[own], weights.shape[1])
        both = [np.bincount(rows.cluster[own][kind], minlength=weights.shape[1]) for kind in (positive, ~positive)]
        pairs = (drawn @ both[0]) * (drawn @ both[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            area = ((drawn @ wins.T) * drawn[:, owners]).sum(axis=1) / pairs
        result[:, label] = np.where(pairs > 0, area, np.nan)
    return result


def _count_wins(
    positive: np.ndarray, group: np.ndarray, cluster: np.ndarray, clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the clusters with positives, and how many negatives of each cluster theirs outscore (ties count half)."""
    levels, level = np.unique(group[positive], return_inverse=True)  # the scores of positives
    slot = np.searchsorted(levels, group[~positive])  # the lowest of them that is not below each negative
    place = slot * clusters + cluster[~positive]
    upto = np.bincount(place, minlength=(levels.size + 1) * clusters)[: levels.size * clusters]
    tied = np.isin(group[~positive], levels)
    equal = np.bincount(place[tied], minlength=levels.size * clusters)
    below = upto.reshape(-1, clusters).cumsum(axis=0) - equal.reshape(-1, clusters) / 2
    owners, owner = np.unique(cluster[positive], return_inverse=True)
    wins = np.zeros((owners.size, clusters))
    np.add.at(wins, owner, below[level])
    return owners, wins
