"""Test which differences between systems are significant: interval and p-value from one error, Holm's correction.

Every comparison of the package goes through this module: ``compare``, ``compare_texts``, reports and gaps. The error of
a difference comes from the same difference without each film (``jackknife``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .jackknife import EQUAL, LEVEL, MIN_SOURCES, Spread, interval, spread_of

ALPHA = 0.05  # a difference is real when its corrected p-value is smaller
TOO_FEW = f"a test needs at least {MIN_SOURCES} films"


def compare_scores(
    scores: Sequence[Mapping[str, Any]],
    left_out: Sequence[Mapping[str, np.ndarray]],
    *,
    names: Sequence[str] = ("first", "second"),
    level: float = LEVEL,
) -> dict[str, dict[str, Any]]:
    """Compare two systems score by score, from their ``scores`` and the same scores without each film.

    Each entry holds both values under ``names``, ``difference``, ``interval``, ``p``, ``p_corrected`` and ``real``.

    >>> wave = np.linspace(-0.01, 0.01, 6)
    >>> table = compare_scores([{"map": 0.5}, {"map": 0.25}], [{"map": 0.5 + wave}, {"map": np.full(6, 0.25)}])
    >>> table["map"]["difference"], table["map"]["p"] < 0.0001, table["map"]["real"]
    (0.25, True, True)
    """
    table = {}
    for name in scores[0]:
        if all(name in values for values in left_out):
            first, second = (float(score[name]) for score in scores)
            tested = paired_test(first - second, left_out[0][name] - left_out[1][name], level=level)
            table[name] = {names[0]: first, names[1]: second, **tested}
    add_corrected_p_values(table.values())
    return table


def paired_test(
    difference: float, left_out: np.ndarray, *, films: int | None = None, level: float = LEVEL
) -> dict[str, Any]:
    """Return a difference on the same films with its interval and p-value, from the same difference without each film.

    ``films`` is as for ``spread_of``.
    """
    return spread_test(difference, spread_of(left_out, films), level=level)


def spread_test(difference: float, spread: Spread | None, *, level: float = LEVEL) -> dict[str, Any]:
    """Return a difference with its interval and p-value; both are None, with the reason, where there is no spread.

    >>> spread_test(0.3, Spread(0.1, 4))["p"] < 0.05 < spread_test(0.2, Spread(0.1, 4))["p"]
    True
    >>> spread_test(0.3, None)
    {'difference': 0.3, 'interval': None, 'p': None, 'why_not': 'a test needs at least 5 films'}
    """
    if spread is None or np.isnan(difference):
        return {"difference": difference, "interval": None, "p": None, "why_not": TOO_FEW}
    centre = difference if abs(difference) > EQUAL else 0.0
    return {"difference": difference, "interval": interval(centre, spread, level), "p": spread.p_value(centre)}


def is_real(tested: Mapping[str, Any]) -> bool:
    """Return whether a single difference, tested without others, is significant."""
    return tested["p"] is not None and tested["p"] < ALPHA


def add_corrected_p_values(entries: Iterable[dict[str, Any]]) -> None:
    """Add ``p_corrected`` (Holm, over all entries with a p-value) and ``real`` to entries that hold ``p``."""
    tests = list(entries)
    for entry, corrected in zip(tests, holm([entry["p"] for entry in tests]), strict=True):
        entry["p_corrected"] = corrected
        entry["real"] = None if corrected is None else bool(corrected < ALPHA)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for the number of comparisons (Holm); None and nan, which stand for no test, stay as they are.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    corrected = list(p_values)
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None and p == p)
    running = 0.0
    for place, (p, index) in enumerate(tested):
        running = max(running, min(1.0, p * (len(tested) - place)))
        corrected[index] = running
    return corrected
