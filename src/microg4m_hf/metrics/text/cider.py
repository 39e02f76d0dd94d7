"""CIDEr-D as the COCO caption code computes it (which calls it CIDEr), on its own scale of 0 to 10.

Per order n = 1..4 a text is a vector of n-gram counts times idf = ln(items) - ln(max(1, df)), df being the number of
items whose references contain the n-gram. The score is the cosine of prediction and reference with each entry of the
prediction clipped to the reference's, times exp(-d²/72) for a difference d in bigram counts; averaged over orders and
references, times ten. The idf depends on the set of items: the same text scores differently in another set, and with
one item every idf is zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .ngrams import NgramCounts, OrderCounts

_SIGMA = 6.0


def cider_items(counts: NgramCounts) -> NDArray[np.float64]:
    """Compute the CIDEr-D of every item; the corpus score is their mean.

    Example:
        >>> from microg4m_hf.metrics.text.ngrams import count_ngrams, pair_texts
        >>> cider_items(count_ngrams(pair_texts(["a b c d", "x"], [["a b c d"], ["y"]]))).round(6).tolist()
        [10.0, 0.0]
    """
    pairs = len(counts.item)
    if not pairs:
        return np.zeros(counts.items)
    # As in the original, the length of a text is its number of bigrams, so "" and "word" are equally long.
    predicted, referenced = (np.maximum(n - 1, 0) for n in (counts.predicted_length, counts.referenced_length))
    penalty = np.exp(-((predicted - referenced).astype(float) ** 2) / (2 * _SIGMA**2))
    total = np.zeros(pairs)
    for order in counts.orders:
        idf = _inverse_frequency(order, counts)[order.ngram]
        predicted, referenced = order.predicted * idf, order.referenced * idf
        norm = np.sqrt(np.bincount(order.pair, predicted * predicted, pairs))
        norm *= np.sqrt(np.bincount(order.pair, referenced * referenced, pairs))
        product = np.bincount(order.pair, np.minimum(predicted, referenced) * referenced, pairs)
        total += np.divide(product, norm, out=np.zeros(pairs), where=norm > 0) * penalty
    per_item = np.bincount(counts.item, total / len(counts.orders), counts.items)
    return per_item / np.bincount(counts.item, minlength=counts.items) * 10.0


def _inverse_frequency(order: OrderCounts, counts: NgramCounts) -> NDArray[np.float64]:
    seen = np.flatnonzero(order.referenced > 0)
    ngram = order.ngram[seen]
    if len(counts.item) > counts.items:  # an item counts once, however many of its references hold the n-gram
        item = counts.item[order.pair[seen]]
        if len(ngram):
            ngram = ngram[np.r_[True, (ngram[1:] != ngram[:-1]) | (item[1:] != item[:-1])]]
    frequency = np.bincount(ngram, minlength=order.ngrams)
    return np.log(float(counts.items)) - np.log(np.maximum(1.0, frequency))
