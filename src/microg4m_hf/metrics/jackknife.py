"""Standard errors and intervals of scores by leaving out one film at a time: clips of one film are not independent.

Every metric uses it in the same way: keep statistics per film, and compute each score again from the weights of
``leave_one_out``. With K films, the standard error is sqrt((K - 1) / K · Σ (score without film k - their mean)²), and
``(score - true score) / error`` follows Student's t distribution with K - 1 degrees of freedom. Nothing is drawn at
random. ``benchmarks/coverage.py`` compares this with bootstraps: those lack some classes in most resamples, so their
macro scores are biased and their intervals too short.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import RecipeError

LEVEL = 0.95
MIN_SOURCES = 5  # with fewer films, the spread between films says too little: no interval and no test
EQUAL = 1e-12  # differences and errors below are rounding


def check_former_options(resamples: int, seed: int) -> None:
    """Check the options of the former bootstrap: ``resamples=0`` leaves intervals out, and ``seed`` orders ties."""
    if resamples < 0:
        raise RecipeError(f"{resamples} resamples are not possible; give 0 for no intervals, or leave the option out")
    if not 0 <= seed < 1 << 32:
        raise RecipeError(f"seed={seed} is out of range; give a whole number from 0 to {(1 << 32) - 1}")


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


def leave_one_out(clusters: int) -> np.ndarray:
    """Return how often each cluster counts when one of them is left out, ``(clusters, clusters)``.

    >>> leave_one_out(3).tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    return 1 - np.eye(clusters, dtype=np.int64)


def weighted_means(values: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean over items for each row of cluster weights; ``values`` is ``(items,)`` or ``(items, k)``.

    >>> values = np.array([0.0, 1.0, 2.0])
    >>> weighted_means(values, np.array([0, 0, 1]), np.array([[1, 1], [2, 0], [0, 2]])).tolist()
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


@dataclass(frozen=True)
class Spread:
    """How far a score is from its true value: its standard error, and the degrees of freedom of the t distribution."""

    error: float
    freedom: float

    def reach(self, level: float = LEVEL) -> float:
        """Return half the width of the interval of a level."""
        if not 0 < level < 1:
            raise RecipeError(f"level={level!r} does not lie between 0 and 1; give for example 0.95")
        return self.error * student_quantile(1 - level, self.freedom) if self.error > 0 else 0.0

    def p_value(self, difference: float) -> float:
        """Return the two-sided p-value of a difference; below 0.05 exactly when the 95 % interval excludes 0."""
        if self.error == 0:
            return 1.0 if difference == 0 else 0.0
        return student_tails(abs(difference) / self.error, self.freedom)


def spread_of(left_out: np.ndarray, films: int | None = None) -> Spread | None:
    """Return the spread of a score from its values without one film each; None where there is none.

    Args:
        left_out: The score without each film.
        films: How many of the films say something about the score, for example those that show a class.
    """
    films = left_out.size if films is None else films
    if films < MIN_SOURCES or np.isnan(left_out).any():
        return None
    count = left_out.size
    error = math.sqrt((count - 1) / count * float(np.square(left_out - left_out.mean()).sum()))
    return Spread(error if error > EQUAL else 0.0, films - 1)


def spread_between(first: Spread | None, second: Spread | None) -> Spread | None:
    """Return the spread of a difference between independent scores (Welch's degrees of freedom)."""
    if first is None or second is None:
        return None
    parts = [spread.error**2 for spread in (first, second)]
    low = sum(part**2 / spread.freedom for part, spread in zip(parts, (first, second), strict=True))
    return Spread(math.sqrt(sum(parts)), sum(parts) ** 2 / low if low > 0 else first.freedom + second.freedom)


def interval(
    value: float,
    spread: Spread | None,
    level: float = LEVEL,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> list[float] | None:
    """Return the interval of a score, cut at the limits of the score; None without a spread.

    >>> interval(0.9, Spread(0.1, 4), limits=(0.0, 1.0))
    [0.6223554894802206, 1.0]
    """
    if spread is None or math.isnan(value):
        return None
    reach = spread.reach(level)
    return [max(value - reach, min(value, limits[0])), min(value + reach, max(value, limits[1]))]


def student_tails(t: float, freedom: float) -> float:
    """Return the chance that Student's t is further from 0 than ``t``, on either side.

    >>> round(student_tails(2.776445105, 4), 9), student_tails(0.0, 4)
    (0.05, 1.0)
    """
    return _incomplete_beta(freedom / (freedom + t * t), t * t / (freedom + t * t), freedom / 2, 0.5)


@functools.lru_cache(maxsize=1024)
def student_quantile(tails: float, freedom: float) -> float:
    """Return the t beyond which ``tails`` of Student's distribution lies, on both sides together.

    >>> round(student_quantile(0.05, 46), 6)
    2.012896
    """
    low, high = 0.0, 1.0
    while student_tails(high, freedom) > tails:
        low, high = high, 2 * high
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return high
        low, high = (middle, high) if student_tails(middle, freedom) > tails else (low, middle)


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function at ``x`` (``rest`` is 1 - x), by its continued fraction."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - _incomplete_beta(rest, x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)) / a
    # Lentz's algorithm; the denominators cannot vanish for a, b > 0 and this x.
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = value
        for step in (even, odd):
            d = 1 / (1 + step * d)
            c = 1 + step / c
            value *= c * d
        if abs(value - before) <= 1e-16 * abs(value):
            break
    return front * value
