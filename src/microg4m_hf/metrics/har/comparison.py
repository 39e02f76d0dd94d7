"""Two systems on the same boxes: which differences are real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._version import __version__
from ...errors import PredictionError
from ..bootstrap import LEVEL, RESAMPLES, cluster_weights
from ..significance import compare_scores
from .inputs import read_rows
from .scores import Settings, score


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
    return {
        "scores": compare_scores(values, samples, names=names, level=level),
        "signature": f"har|protocol:{protocol}|test:paired-bootstrap|sources:{len(one.sources)}|resamples:{resamples}"
        f"|seed:{seed}|version:{__version__}",
        "level": level,
    }
