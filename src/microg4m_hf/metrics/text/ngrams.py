"""N-gram counts of all predictions and references at once: the common ground of BLEU and CIDEr.

All texts are counted together with integer arrays: an n-gram's key is the rank of its first n-1 words and the
id of its last one, so each order costs one sort and nothing is ever hashed approximately.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Texts as arrays of word numbers: all texts are joined, split and numbered in one go, which is where the speed is.

Ints = NDArray[np.int64]
_MARK = "\ufffc"  # between two texts: no white space, printable, and not in any of them


class Words(NamedTuple):
    """The words of many texts, one text after the other."""

    ids: Ints  # equal words have equal numbers
    lengths: Ints  # words per text
    size: int  # every number is below it


class Pairs(NamedTuple):
    """Predictions beside references: text 2p is the prediction and text 2p + 1 the reference of pair p.

    An item with three references makes three pairs, so its prediction stands there three times.
    """

    whitespace: Words  # split(): the words of BLEU and CIDEr
    spaces: Words  # split(" "): the words of ROUGE-L
    item: Ints  # the item of each pair, ascending
    items: int


def pair_words(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Pairs:
    """Number the words of every prediction and reference.

    >>> pairs = pair_words(["a b"], [["b  c"]])
    >>> pairs.whitespace.lengths.tolist(), pairs.spaces.lengths.tolist()
    ([2, 2], [2, 3])
    """
    texts = [
        text for said, several in zip(predictions, references, strict=True) for one in several for text in (said, one)
    ]
    joined, mark = _join(texts)
    whitespace = _number(joined.split(), mark)
    # Ordinary texts have single spaces only (other white space is not printable); then both ways of splitting agree.
    ordinary = joined.isprintable() and "  " not in joined and joined == joined.strip()
    spaces = whitespace if ordinary else _number(joined.split(" "), mark)
    per_item = np.fromiter(map(len, references), np.int64, len(references))
    return Pairs(whitespace, spaces, np.repeat(np.arange(len(references)), per_item), len(references))


def _join(texts: list[str]) -> tuple[str, str]:
    mark = _MARK
    everything = " ".join(texts)
    while mark in everything:
        mark += _MARK
    return f" {mark} ".join(texts), mark


def _number(words: list[str], mark: str) -> Words:
    number = dict.fromkeys([mark])
    number.update(dict.fromkeys(words))
    numbered = dict(zip(number, range(len(number)), strict=True))
    ids = np.fromiter(map(numbered.__getitem__, words), np.int64, len(words))
    marks = np.flatnonzero(ids == 0)
    lengths = np.diff(np.concatenate(([-1], marks, [len(ids)]))) - 1
    return Words(np.delete(ids, marks), lengths, len(number))


def sort_with_places(keys: Ints, places: Ints) -> tuple[Ints, Ints]:
    """Keys in order, equal keys in order of their places; ``places`` ascend.

    >>> [part.tolist() for part in sort_with_places(np.array([5, 3, 5]), np.array([0, 4, 9]))]
    [[3, 5, 5], [4, 0, 9]]
    """
    bits = int(places[-1]).bit_length()
    if int(keys.max()).bit_length() + bits < 63:
        packed = (keys << bits) | places  # sorting numbers is several times faster than sorting an index
        packed.sort()
        return packed >> bits, packed & ((1 << bits) - 1)
    order = np.argsort(keys, kind="stable")
    return keys[order], places[order]


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

    >>> from microg4m_hf.metrics.text.ngrams import pair_words
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
