"""N-gram counts of all predictions and references at once: the common ground of BLEU and CIDEr.

All texts are counted together with integer arrays: an n-gram's key is the rank of its first n-1 words and the
id of its last one, so each order costs one sort and nothing is ever hashed approximately.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .words import Ints, Pairs, sort_with_places

MAX_ORDER = 4


class Order(NamedTuple):
    """Counts of one n-gram order: a row is an n-gram that occurs in a pair; rows are sorted by n-gram, then pair."""

    gram: Ints
    pair: Ints
    predicted: Ints  # how often the prediction of the pair has it
    referred: Ints  # how often the reference of the pair has it
    grams: int  # number of different n-grams of this order


class Counts(NamedTuple):
    """N-gram counts of a set of items."""

    orders: tuple[Order, ...]
    predicted_length: Ints  # words per pair
    referred_length: Ints
    item: Ints  # the item of each pair, ascending
    items: int


def count_ngrams(pairs: Pairs) -> Counts:
    """Count the 1- to 4-grams of every pair.

    >>> from microg4m_hf.metrics.text.words import pair_words
    >>> counts = count_ngrams(pair_words(["a b a"], [["a c"]]))
    >>> counts.orders[0].predicted.tolist(), counts.orders[0].referred.tolist()  # of a, b, c
    ([2, 1, 0], [1, 0, 1])
    """
    ids, lengths, size = pairs.whitespace
    document_of = np.repeat(np.arange(len(lengths)), lengths)
    orders = []
    rank, starts, keys = ids, np.arange(len(ids)), ids
    for n in range(1, MAX_ORDER + 1):
        if n > 1:
            starts = np.arange(max(len(ids) - n + 1, 0))
            starts = starts[document_of[starts] == document_of[starts + n - 1]]
            keys = rank[starts] * size + ids[starts + n - 1]
        order, rank = _count_order(keys, starts, document_of)
        orders.append(order)
    return Counts(tuple(orders), lengths[0::2], lengths[1::2], pairs.item, pairs.items)


def _count_order(keys: Ints, starts: Ints, document_of: Ints) -> tuple[Order, Ints]:
    """Rows of one order, and the rank of the n-gram at each position for the next order's keys."""
    rank = np.zeros(len(document_of), np.int64)
    if not len(keys):
        none = np.zeros(0, np.int64)
        return Order(none, none, none, none, 0), rank
    sorted_keys, place = sort_with_places(keys, starts)
    document = document_of[place]
    pair = document >> 1
    new_gram = np.empty(len(keys), bool)
    new_gram[0] = True
    np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=new_gram[1:])
    gram = np.cumsum(new_gram) - 1
    rank[place] = gram
    new_row = new_gram
    new_row[1:] |= pair[1:] != pair[:-1]
    first = np.flatnonzero(new_row)
    total = np.diff(first, append=len(keys))
    referred = np.add.reduceat(document & 1, first)
    return Order(gram[first], pair[first], total - referred, referred, int(gram[-1]) + 1), rank
