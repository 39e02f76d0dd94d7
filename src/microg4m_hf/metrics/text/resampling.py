"""Confidence intervals of text scores, comparison of two systems, and scores of subsets.

All three are computed from the items and statistics of one result. BLEU and METEOR 1.5 are recomputed from summed
statistics; the other scores are means of items. CIDEr keeps the idf weights of the full set of references: a resample
or subset changes which items count, not their scale, so the means of the subsets add up to the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..._version import __version__
from ...errors import PredictionError
from ..jackknife import LEVEL, cluster_codes, interval, leave_one_out, spread_of, weighted_means
from ..significance import compare_scores
from .bleu import bleu_from_statistics

_FRACTIONS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "meteor_1_5", "meteor_nltk", "exact_match")
_LIMITS = {**dict.fromkeys((*_FRACTIONS, "refusal_rate"), (0.0, 1.0)), "cider": (0.0, 10.0)}


def compare_texts(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    *,
    resamples: int = 1,
    level: float = LEVEL,
    seed: int = 0,
    names: Sequence[str] = ("first", "second"),
) -> dict[str, Any]:
    """Compare two results with a paired test by source.

    Interval and p-value come from one standard error, that of the difference without each source (``jackknife``), so
    the 95 % interval excludes 0 exactly when ``p`` is below 0.05. With fewer than five sources there is neither.

    Args:
        first: A result of ``text_scores``, ``caption_scores`` or ``vqa_scores`` with ``sources``.
        second: Another result for the same items, in any order, by the same protocol.
        resamples, seed: Former options of the bootstrap; they have no effect, because nothing is drawn any more.
        level: Level of the intervals.
        names: The keys under which the values of the two results are returned.

    Returns:
        ``scores`` with one entry per score: both values, their ``difference`` (first - second) with its ``interval``
        and ``p``, ``p_corrected`` for several scores (Holm), and ``real``, which says whether that is under 0.05. These
        four are None where there is no test, and ``why_not`` says why.

    Raises:
        PredictionError: If the items or protocols differ, or if the sources are unknown.

    Example:
        >>> from microg4m_hf.metrics import text_scores
        >>> references = ["a cat", "a dog", "a bird", "a fish", "a bee"]
        >>> options = {"metrics": ["rouge_l"], "sources": ["p", "q", "r", "s", "t"]}
        >>> good, bad = text_scores(references, references, **options), text_scores(["x"] * 5, references, **options)
        >>> compare_texts(good, bad)["scores"]["rouge_l"]["real"]
        True
    """
    first_ids, second_ids = (
        [tuple(name) if isinstance(name, list) else name for name in result["ids"]]  # JSON has no tuples
        for result in (first, second)
    )
    unmatched = set(first_ids) ^ set(second_ids)
    if unmatched or len(first_ids) != len(second_ids):
        raise PredictionError(
            f"the two results do not cover the same items: {len(unmatched)} are in one only, for example "
            f"{sorted(map(str, unmatched))[:3]}; score both systems on the same items before comparing them"
        )
    protocols = [result["recipe"]["protocol"] for result in (first, second)]
    if protocols[0] != protocols[1]:
        raise PredictionError(f"the two results follow different protocols, {protocols}; score both by one")
    digests = {result["recipe"].get("references") for result in (first, second)} - {None}
    if len(digests) > 1:
        raise PredictionError(
            f"the two results were scored against different references, {' and '.join(sorted(digests))}; score both "
            "systems against the same file"
        )
    index_of = {name: index for index, name in enumerate(second_ids)}
    aligned = _reorder(second, [index_of[name] for name in first_ids]) | {"sources": first.get("sources")}
    left_out = [scores_left_out(result) for result in (first, aligned)]
    sources = len(set(first["sources"]))
    digest = f"|references:{digests.pop()}" if digests else ""
    return {
        "scores": compare_scores([first["scores"], second["scores"]], left_out, names=names, level=level),
        "signature": f"text|protocol:{protocols[0]}|test:paired-jackknife|sources:{sources}{digest}"
        f"|version:{__version__}",
        "level": level,
    }


def text_intervals(
    scores: Mapping[str, float], left_out: Mapping[str, np.ndarray], level: float = LEVEL
) -> dict[str, list[float] | None]:
    """Return the interval of each score, from the scores without each source; None with too few sources."""
    no_limits = (-np.inf, np.inf)
    return {
        name: interval(value, spread_of(left_out[name]), level, _LIMITS.get(name, no_limits))
        for name, value in scores.items()
    }


def scores_left_out(result: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Compute every score without each of the sources.

    Args:
        result: A result of ``text_scores`` with ``sources``.

    Raises:
        PredictionError: If the result has no source for every item.
    """
    return resample_scores(result, leave_one_out(len(set(result.get("sources") or ()))))


def resample_scores(result: Mapping[str, Any], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Compute every score in each resample; ``weights``, ``(resamples, sources)``, says how often a source counts."""
    sources = result.get("sources")
    if sources is None:
        raise PredictionError("the result does not know the source of its items; score again with sources=[…]")
    if len(sources) != len(result["ids"]):
        raise PredictionError(f"{len(sources)} sources for {len(result['ids'])} items; give one source per item")
    names, codes = cluster_codes(sources)
    samples: dict[str, np.ndarray] = {}
    summed = result["statistics"].keys()
    means = {
        name: values
        for name, values in result["items"].items()
        if name not in summed and name.rpartition("_")[0] not in summed  # "bleu" sums "bleu_1" to "bleu_4"
    }
    if means:
        columns = weighted_means(np.stack([np.asarray(values) for values in means.values()], axis=1), codes, weights)
        samples |= dict(zip(means, columns.T, strict=True))
    for name, rows in result["statistics"].items():
        sums = np.zeros((len(names), len(rows[0])))
        np.add.at(sums, codes, np.asarray(rows, np.float64))
        samples |= _scores_from_sums(name, weights @ sums)
    return {name: samples[name] for name in result["scores"]}


def scores_by_group(result: Mapping[str, Any], groups: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return ``{group: {"items": count, "scores": {...}}}``; ``groups`` names the group of every item."""
    indices: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        indices.setdefault(str(group), []).append(index)
    return {
        group: {"items": len(rows), "scores": _subset_scores(result, rows)} for group, rows in sorted(indices.items())
    }


def _subset_scores(result: Mapping[str, Any], rows: list[int]) -> dict[str, float]:
    scores = {name: float(np.mean(np.asarray(values)[rows])) for name, values in result["items"].items()}
    for name, statistics in result["statistics"].items():
        sums = np.asarray(statistics)[rows].sum(0)
        scores |= {score: float(value) for score, value in _scores_from_sums(name, sums).items()}
    return {name: scores[name] for name in result["scores"]}


def _scores_from_sums(name: str, sums: np.ndarray) -> dict[str, np.ndarray]:
    if name == "bleu":
        scores = bleu_from_statistics(sums)
        return {f"bleu_{n + 1}": scores[..., n] for n in range(scores.shape[-1])}
    from .meteor_1_5 import meteor_from_statistics

    return {name: meteor_from_statistics(sums)}


def _reorder(result: Mapping[str, Any], order: list[int]) -> dict[str, Any]:
    return {
        "ids": [result["ids"][index] for index in order],
        "scores": result["scores"],
        "items": {name: [values[index] for index in order] for name, values in result["items"].items()},
        "statistics": {name: [rows[index] for index in order] for name, rows in result["statistics"].items()},
    }
