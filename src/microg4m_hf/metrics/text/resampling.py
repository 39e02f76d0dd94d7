"""Confidence intervals of text scores and paired comparison of two systems, both resampled by source.

BLEU and METEOR 1.5 are recomputed from summed statistics in every resample; the other scores are means of items.
CIDEr's idf weights stay those of the full set of references: a resample changes which items count, not the scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..._version import __version__
from ...errors import PredictionError
from ..bootstrap import LEVEL, RESAMPLES, cluster_codes, cluster_weights, interval, resampled_means
from ..significance import compare_scores
from .bleu import bleu_from_statistics


def text_intervals(
    result: Mapping[str, Any], *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> dict[str, list[float]]:
    """``{score: [low, high]}`` for a result of ``text_scores`` that knows its ``sources``."""
    samples = _resampled(result, resamples, seed)
    return {name: list(interval(values, level)) for name, values in samples.items()}


def compare_texts(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
    names: Sequence[str] = ("first", "second"),
) -> dict[str, Any]:
    """Differences ``first - second`` of two results, with intervals and p-values of a paired bootstrap by source.

    Both must have scored the same items by one protocol; items are matched by ``ids``, whatever their order.
    ``p_corrected`` allows for having looked at several scores (Holm); ``real`` says whether it lies under 0.05.

    >>> from microg4m_hf.metrics import text_scores
    >>> meant = ["a cat", "a dog", "a bird", "a fish"]
    >>> options = {"metrics": ["rouge_l"], "sources": ["p", "q", "r", "s"]}
    >>> good, bad = text_scores(meant, meant, **options), text_scores(["x"] * 4, meant, **options)
    >>> compare_texts(good, bad)["scores"]["rouge_l"]["real"]
    True
    """
    order = {name: index for index, name in enumerate(map(_key, second["ids"]))}
    mine = [_key(name) for name in first["ids"]]
    unmatched = set(mine) ^ set(order)
    if unmatched or len(mine) != len(second["ids"]):
        raise PredictionError(
            f"the two results do not cover the same items: {len(unmatched)} are in one only, for example "
            f"{sorted(map(str, unmatched))[:3]}; score both systems on the same items before comparing them"
        )
    protocols = [result["recipe"]["protocol"] for result in (first, second)]
    if protocols[0] != protocols[1]:
        raise PredictionError(f"the two results follow different protocols, {protocols}; score both by one")
    aligned = _reordered(second, [order[name] for name in mine]) | {"sources": first.get("sources")}
    samples = [_resampled(result, resamples, seed) for result in (first, aligned)]
    sources = len(set(first["sources"]))
    return {
        "scores": compare_scores([first["scores"], second["scores"]], samples, names=names, level=level),
        "signature": f"text|protocol:{protocols[0]}|test:paired-bootstrap|sources:{sources}|resamples:{resamples}"
        f"|seed:{seed}|version:{__version__}",
        "level": level,
    }


def _resampled(result: Mapping[str, Any], resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Every score in every resample."""
    sources = result.get("sources")
    if sources is None:
        raise PredictionError("the result does not know the source of its items; score again with sources=[…]")
    if len(sources) != len(result["ids"]):
        raise PredictionError(f"{len(sources)} sources for {len(result['ids'])} items; give one source per item")
    names, codes = cluster_codes(sources)
    weights = cluster_weights(len(names), resamples, seed)
    samples: dict[str, np.ndarray] = {}
    means = {name: values for name, values in result["items"].items() if not _summed(name, result)}
    if means:
        columns = resampled_means(np.stack([np.asarray(values) for values in means.values()], axis=1), codes, weights)
        samples |= dict(zip(means, columns.T, strict=True))
    for name, rows in result["statistics"].items():
        sums = np.zeros((len(names), len(rows[0])))
        np.add.at(sums, codes, np.asarray(rows, np.float64))
        if name == "bleu":
            scores = bleu_from_statistics(weights @ sums)
            samples |= {f"bleu_{n + 1}": scores[:, n] for n in range(scores.shape[1])}
        else:
            from .meteor_1_5 import meteor_from_statistics

            samples[name] = meteor_from_statistics(weights @ sums)
    return {name: samples[name] for name in result["scores"]}


def _summed(name: str, result: Mapping[str, Any]) -> bool:
    return name.rpartition("_")[0] in result["statistics"] or name in result["statistics"]


def _reordered(result: Mapping[str, Any], places: list[int]) -> dict[str, Any]:
    return {
        "ids": [result["ids"][place] for place in places],
        "scores": result["scores"],
        "items": {name: [values[place] for place in places] for name, values in result["items"].items()},
        "statistics": {name: [rows[place] for place in places] for name, rows in result["statistics"].items()},
    }


def _key(name: Any) -> Any:
    return tuple(name) if isinstance(name, list) else name  # JSON turns the pairs of VQA into lists


# Scores of a part of the items, from the statistics of all of them.
#
# CIDEr's idf weights stay those of the full set of references, so that the parts' means add up to the whole.


def part_scores(result: Mapping[str, Any], places: Sequence[int]) -> dict[str, float]:
    """The scores of the items at ``places``; nan where there are none."""
    rows = np.asarray(places, np.int64)
    if not rows.size:
        return dict.fromkeys(result["scores"], float("nan"))
    scores = {name: float(np.mean(np.asarray(values)[rows])) for name, values in result["items"].items()}
    for name, statistics in result["statistics"].items():
        total = np.asarray(statistics)[rows].sum(0)
        if name == "bleu":
            scores |= {f"bleu_{n}": float(value) for n, value in enumerate(bleu_from_statistics(total), start=1)}
        else:
            from .meteor_1_5 import meteor_from_statistics

            scores[name] = float(meteor_from_statistics(total))
    return {name: scores[name] for name in result["scores"]}


def parts_by(result: Mapping[str, Any], names: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """``{name: {"items": count, "scores": {...}}}`` for items that carry the same name."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(str(name), []).append(place)
    return {name: {"items": len(rows), "scores": part_scores(result, rows)} for name, rows in sorted(places.items())}
