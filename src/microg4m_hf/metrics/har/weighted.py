"""Average precision in many resamples at once: every ranked row counts as often as its source was drawn."""

from __future__ import annotations

import numpy as np

from .ranking import Ranking

BLOCK = 50  # resamples that share one random order of equal scores, and one piece of memory


def weighted_precisions(
    ranking: Ranking,
    source: np.ndarray,
    positives: np.ndarray,
    weights: np.ndarray,
    *,
    shuffle_seed: int | None = None,
) -> np.ndarray:
    """AP per resample and class, ``(resamples, classes)``; nan where a resample holds no labelled box of a class.

    ``source`` is the source of each ranked row, ``positives`` counts labelled boxes per source and class. With
    ``shuffle_seed`` equal scores take a new random order in every block of resamples (so the intervals hold the
    uncertainty of the order, too); otherwise they keep the order of the ranking.
    """
    labelled = weights @ positives
    result = np.where(labelled > 0, 0.0, np.nan)
    random = None if shuffle_seed is None else np.random.RandomState(shuffle_seed)
    hit, source = ranking.hit, np.asarray(source)
    for begin in range(0, len(weights), BLOCK):
        part = slice(begin, begin + BLOCK)
        order = _shuffled(ranking, random) if random is not None else slice(None)
        _fill(result[part], hit[order], source[order], ranking.start, weights[part], labelled[part])
    return result


def _shuffled(ranking: Ranking, random: np.random.RandomState) -> np.ndarray:
    noise = random.random_sample(ranking.group.size)
    return np.lexsort((noise, ranking.group))


def _fill(
    result: np.ndarray,
    hit: np.ndarray,
    source: np.ndarray,
    start: np.ndarray,
    weights: np.ndarray,
    labelled: np.ndarray,
) -> None:
    for label in np.flatnonzero((labelled > 0).any(axis=0)):
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
            area = (mass * envelope).sum(axis=1) / labelled[:, label]
        result[:, label] = np.where(labelled[:, label] > 0, area, np.nan)
