"""Two systems on the same boxes: which differences are real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._version import __version__
from ...errors import PredictionError
from ..bootstrap import LEVEL, RESAMPLES, cluster_weights, holm, interval, paired_p_value
from .inputs import read_rows
from .scores import Settings, score

SIGNIFICANT = 0.05


def compare(
    first: Any,
    second: Any,
    references: Any,
    *,
    protocol: str = "paper",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
    names: Sequence[str] = ("first", "second"),
    **settings: Any,
) -> dict[str, Any]:
    """Differences ``first - second`` of all scores, with intervals and p-values of a paired bootstrap by source.

    Both are scored on the same draws of sources. ``p_corrected`` allows for having looked at five scores (Holm);
    ``real`` says whether it lies under 0.05. Further keywords are those of ``har_scores``.

    >>> truth = [(f"{film}_001", 1, 0, 0, 1, 1, 12 if film < "c" else 14) for film in "abcd"]
    >>> found = [(f"{film}_001", 1, 0, 0, 1, 1, 12, 1.0) for film in "abcd"]
    >>> compare(found, found, truth, resamples=20)["scores"]["map"]["p"]
    1.0
    """
    options = Settings(protocol=protocol, **settings)
    truth = read_rows(references, references=True)
    scored = [score(read_rows(predictions), truth, options) for predictions in (first, second)]
    one, two = (system.statistics for system in scored)
    if (
        one.sources != two.sources
        or one.classes != two.classes
        or not np.array_equal(one.label_counts, two.label_counts)
    ):
        raise PredictionError(
            "the two systems were not scored on the same boxes and classes; "
            "predict the same split with both, and use missing='zero' instead of 'drop'"
        )
    weights = cluster_weights(len(one.sources), resamples, seed)
    values = [system.per_class().macro() for system in (one, two)]
    samples = [system.resampled(weights, seed).macro() for system in (one, two)]
    table: dict[str, dict[str, Any]] = {}
    for name in values[0]:
        difference = float(values[0][name] - values[1][name])
        drawn = samples[0][name] - samples[1][name]
        low, high = interval(drawn, level)
        table[name] = {
            names[0]: float(values[0][name]),
            names[1]: float(values[1][name]),
            "difference": difference,
            "interval": [low, high],
            "p": paired_p_value(drawn, difference),
        }
    for entry, corrected in zip(table.values(), holm([entry["p"] for entry in table.values()]), strict=True):
        entry["p_corrected"] = corrected
        entry["real"] = bool(corrected < SIGNIFICANT)
    return {
        "scores": table,
        "signature": f"har|protocol:{protocol}|test:paired-bootstrap|sources:{len(one.sources)}|resamples:{resamples}"
        f"|seed:{seed}|version:{__version__}",
        "level": level,
    }
