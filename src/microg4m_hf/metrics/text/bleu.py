"""BLEU-1..4 as the COCO caption code computes it: corpus level, closest reference length, its small constants.

With c_n clipped matches, g_n n-grams of the prediction, l and r the lengths of prediction and reference:
precision p_n = (c_n + 1e-15) / (g_n + 1e-9), ratio = (l + 1e-15) / (r + 1e-9),
BLEU-n = (p_1 … p_n)^(1/n) · min(1, exp(1 - 1/ratio)). The corpus score sums c, g, l and r first; so does every
resample. The score of one item is the same formula on its own counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import MetricResult
from .ngrams import MAX_ORDER, NgramCounts

_TINY, _SMALL = 1e-15, 1e-9
# Columns of the statistics: prediction length, closest reference length, n-grams 1..4, clipped matches 1..4.
_COLUMNS = 2 + 2 * MAX_ORDER


def compute_bleu(counts: NgramCounts) -> MetricResult:
    """Return BLEU-1..4 of the corpus and of every item, with the statistics they are summed from."""
    rows = bleu_statistics(counts)
    names = [f"bleu_{n}" for n in range(1, MAX_ORDER + 1)]
    scores = dict(zip(names, bleu_from_statistics(rows.sum(0)).tolist(), strict=True))
    return MetricResult(scores, dict(zip(names, bleu_from_statistics(rows).T, strict=True)), {"bleu": rows})


def bleu_statistics(counts: NgramCounts) -> NDArray[np.int64]:
    """Count ten integers per item; sum the rows of any subset and give the sum to :func:`bleu_from_statistics`."""
    rows = np.zeros((counts.items, _COLUMNS), np.int64)
    if not counts.items:
        return rows
    first_pair = np.searchsorted(counts.item, np.arange(counts.items))
    length = counts.predicted_length[first_pair]
    rows[:, 0] = length
    rows[:, 1] = _closest_length(counts)
    for n, order in enumerate(counts.orders, start=1):
        rows[:, 1 + n] = np.maximum(length - n + 1, 0)
        both = np.flatnonzero((order.predicted > 0) & (order.referenced > 0))
        if not len(both):
            continue
        item = counts.item[order.pair[both]]
        matched = np.minimum(order.predicted[both], order.referenced[both])
        if len(counts.item) > counts.items:  # several references: the one that has the n-gram most often counts
            ngram = order.ngram[both]
            new = np.flatnonzero(np.r_[True, (ngram[1:] != ngram[:-1]) | (item[1:] != item[:-1])])
            item, matched = item[new], np.maximum.reduceat(matched, new)
        rows[:, 1 + MAX_ORDER + n] = np.bincount(item, weights=matched, minlength=counts.items)
    return rows


def _closest_length(counts: NgramCounts) -> NDArray[np.int64]:
    """Return the reference length nearest to the prediction's, the shorter of two equally near ones."""
    if len(counts.item) == counts.items:
        return counts.referenced_length
    distance = np.abs(counts.referenced_length - counts.predicted_length)
    order = np.lexsort((counts.referenced_length, distance, counts.item))
    first = np.searchsorted(counts.item, np.arange(counts.items))
    return counts.referenced_length[order[first]]


def bleu_from_statistics(statistics: NDArray[Any]) -> NDArray[np.float64]:
    """Compute BLEU-1..4 along the last axis of (sums of) statistics: shape (…, 10) gives (…, 4).

    Example:
        >>> bleu_from_statistics(np.array([4, 4, 4, 3, 2, 1, 4, 3, 2, 1])).round(6).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    rows = np.asarray(statistics, np.float64)
    guesses, correct = rows[..., 2 : 2 + MAX_ORDER], rows[..., 2 + MAX_ORDER :]
    product = np.cumprod((correct + _TINY) / (guesses + _SMALL), axis=-1)
    scores = product ** (1.0 / np.arange(1, MAX_ORDER + 1))
    ratio = (rows[..., 0] + _TINY) / (rows[..., 1] + _SMALL)
    penalty = np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
    return scores * penalty[..., None]
