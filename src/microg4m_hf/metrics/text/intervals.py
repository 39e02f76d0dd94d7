"""Confidence intervals of text scores and paired comparison of two systems, both resampled by source.

BLEU and METEOR 1.5 are recomputed from summed statistics in every resample; the other scores are means of items.
CIDEr's idf weights stay those of the full set of references: a resample changes which items count, not the scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import PredictionError
from .bleu import bleu_from_statistics
from .bootstrap import LEVEL, RESAMPLES, cluster_codes, cluster_weights, interval, paired_p_value, resampled_means


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
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, dict[str, Any]]:
    """The difference ``first - second`` of every score that both results have, with interval and p-value.

    Both must have scored the same items; items are matched by ``ids``, whatever their order.
    """
    order = {name: index for index, name in enumerate(map(_key, second["ids"]))}
    mine = [_key(name) for name in first["ids"]]
    unmatched = set(mine) ^ set(order)
    if unmatched or len(mine) != len(second["ids"]):
        raise PredictionError(
            f"the two results do not cover the same items: {len(unmatched)} are in one only, for example "
            f"{sorted(map(str, unmatched))[:3]}; score both systems on the same items before comparing them"
        )
    if first["recipe"]["protocol"] != second["recipe"]["protocol"]:
        raise PredictionError(
            f"one result was scored by {first['recipe']['protocol']!r} and the other by "
            f"{second['recipe']['protocol']!r}; score both by one protocol"
        )
    aligned = _reordered(second, [order[name] for name in mine]) | {"sources": first["sources"]}
    ours, theirs = _resampled(first, resamples, seed), _resampled(aligned, resamples, seed)
    table = {}
    for name in ours:
        if name not in theirs:
            continue
        observed = first["scores"][name] - second["scores"][name]
        differences = ours[name] - theirs[name]
        low, high = interval(differences, level)
        table[name] = {
            "first": first["scores"][name],
            "second": second["scores"][name],
            "difference": observed,
            "interval": [low, high],
            "p_value": paired_p_value(differences, observed),
        }
    return table


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
