"""Bootstrap by source: clips of one film are not independent, so whole sources are drawn.

Every metric uses it in the same way: keep statistics per item, draw ``cluster_weights`` once, and compute each score
from item weights ``weights[:, codes]`` (how often each item was drawn).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import RecipeError

RESAMPLES = 1000
LEVEL = 0.95


def cluster_codes(sources: Iterable[str]) -> tuple[list[str], np.ndarray]:
    """Return the distinct names, sorted, and for each item the index of its name.

    >>> names, codes = cluster_codes(["b", "a", "b"])
    >>> names, codes.tolist()
    (['a', 'b'], [1, 0, 1])
    """
    items = list(sources)
    names = sorted(set(items))
    place = {name: index for index, name in enumerate(names)}
    return names, np.fromiter((place[item] for item in items), dtype=np.int64, count=len(items))


def cluster_weights(clusters: int | Iterable[str], resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Draw clusters with replacement and return how often each is drawn, ``(resamples, clusters)``.

    ``clusters`` is their number, or the cluster name of every item (columns then follow ``cluster_codes``). Equal seeds
    give equal draws with every version of numpy.

    >>> drawn = cluster_weights(["a", "b", "b", "c"], resamples=5, seed=1)
    >>> drawn.shape, drawn.sum(axis=1).tolist()
    ((5, 3), [3, 3, 3, 3, 3])
    """
    count = clusters if isinstance(clusters, int) else len(set(clusters))
    if count < 1 or resamples < 1:
        raise RecipeError(f"nothing to resample: {count} sources, {resamples} resamples; give at least one of each")
    if not 0 <= seed < 1 << 32:
        raise RecipeError(f"seed={seed} is out of range; give a whole number from 0 to {(1 << 32) - 1}")
    # numpy promises never to change the stream of RandomState.
    picks = np.random.RandomState(seed).randint(0, count, size=(resamples, count), dtype=np.int64)
    picks += (np.arange(resamples) * count)[:, None]
    return np.bincount(picks.ravel(), minlength=resamples * count).reshape(resamples, count)


def resampled_means(values: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean over items in each resample; ``values`` is ``(items,)`` or ``(items, k)``.

    >>> values = np.array([0.0, 1.0, 2.0])
    >>> resampled_means(values, np.array([0, 0, 1]), np.array([[1, 1], [2, 0], [0, 2]])).tolist()
    [1.0, 0.5, 2.0]
    """
    columns = np.asarray(values, dtype=np.float64)
    clusters = weights.shape[1]
    totals = np.zeros((clusters, *columns.shape[1:]))
    np.add.at(totals, codes, columns)
    counts = weights @ np.bincount(codes, minlength=clusters)
    sums = weights @ totals
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / (counts if sums.ndim == 1 else counts[:, None])


def interval(samples: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of resampled scores, leaving out resamples whose score is undefined (nan).

    >>> interval(np.arange(101) / 100, level=0.9)
    (0.05, 0.95)
    """
    if not 0 < level < 1:
        raise RecipeError(f"level={level!r} does not lie between 0 and 1; give for example 0.95")
    defined = np.asarray(samples, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    if defined.size == 0:
        return float("nan"), float("nan")
    tail = round(50 * (1 - level), 9)  # 0.9 would otherwise ask for the 4.999…th percentile
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)
