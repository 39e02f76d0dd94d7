"""Test which differences between systems are significant: a paired bootstrap per score, Holm's correction over several.

Every comparison of the package goes through this module: ``compare``, ``compare_texts``, reports and gaps. Both systems
must be scored on the same draws of sources (``bootstrap.cluster_weights`` with the same seed).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .bootstrap import LEVEL, interval

ALPHA = 0.05  # a difference is real when its corrected p-value is smaller


def compare_scores(
    scores: Sequence[Mapping[str, Any]],
    samples: Sequence[Mapping[str, np.ndarray]],
    *,
    names: Sequence[str] = ("first", "second"),
    level: float = LEVEL,
) -> dict[str, dict[str, Any]]:
    """Compare two systems score by score, from their ``scores`` and the same scores in every resample.

    Each entry holds both values under ``names``, ``difference``, ``interval``, ``p``, ``p_corrected`` and ``real``.

    >>> samples = [{"map": np.full(99, 0.5)}, {"map": np.full(99, 0.25)}]
    >>> table = compare_scores([{"map": 0.5}, {"map": 0.25}], samples)
    >>> table["map"]["difference"], table["map"]["p"], table["map"]["real"]
    (0.25, 0.01, True)
    """
    table = {}
    for name in scores[0]:
        if all(name in sample for sample in samples):
            first, second = (float(score[name]) for score in scores)
            tested = paired_test(first - second, samples[0][name] - samples[1][name], level)
            table[name] = {names[0]: first, names[1]: second, **tested}
    add_corrected_p_values(table.values())
    return table


def paired_test(difference: float, resampled: np.ndarray, level: float = LEVEL) -> dict[str, Any]:
    """Return an observed difference with its interval and p-value, from the same difference in every resample."""
    return {
        "difference": difference,
        "interval": list(interval(resampled, level)),
        "p": paired_p_value(resampled, difference),
    }


def add_corrected_p_values(entries: Iterable[dict[str, Any]]) -> None:
    """Add ``p_corrected`` (Holm, over all entries) and ``real`` to entries that hold ``p``."""
    tests = list(entries)
    for entry, corrected in zip(tests, holm([entry["p"] for entry in tests]), strict=True):
        entry["p_corrected"] = corrected
        entry["real"] = bool(corrected < ALPHA)


def paired_p_value(differences: np.ndarray, observed: float) -> float:
    """Return the two-sided p-value of a difference, from its resamples shifted to the null (no difference).

    >>> paired_p_value(np.zeros(999), 0.0)
    1.0
    >>> paired_p_value(0.5 + np.linspace(-0.1, 0.1, 999), 0.5)
    0.001
    """
    shifted = np.asarray(differences, dtype=np.float64)
    shifted = shifted[~np.isnan(shifted)] - observed
    if shifted.size == 0 or np.isnan(observed):
        return float("nan")
    # The tolerance keeps rounding from turning "equal" into "smaller".
    reached = np.count_nonzero(np.abs(shifted) >= abs(observed) - 1e-12)
    return float((1 + reached) / (1 + shifted.size))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of comparisons (Holm); nan stays nan.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p_values, dtype=np.float64)
    corrected = raw.copy()
    order = [index for index in np.argsort(raw, kind="stable") if not np.isnan(raw[index])]
    running = 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, float(raw[index]) * (len(order) - place)))
        corrected[index] = running
    return corrected.tolist()
