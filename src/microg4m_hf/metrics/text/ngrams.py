"""Words and n-gram counts of all predictions and references at once, which BLEU, CIDEr and ROUGE-L share.

All texts are joined, split and numbered in one pass, and counted together with integer arrays. The key of an n-gram is
the rank of its first n-1 words and the id of its last one, so each order takes one sort, and nothing is hashed
approximately.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
MAX_ORDER = 4
_SEPARATOR = "\ufffc"  # between two texts: printable, no white space, and not in any of them


class WordIds(NamedTuple):
    """The words of many texts, one text after the other."""

    ids: Ints  # equal words have equal ids
    lengths: Ints  # words per text
    size: int  # every id is smaller


class TextPairs(NamedTuple):
    """Predictions beside references: text 2p is the prediction and text 2p + 1 the reference of pair p.

    An item with three references makes three pairs, so its prediction is there three times.
    """

    whitespace: WordIds  # split(): the words of BLEU and CIDEr
    spaces: WordIds  # split(" "): the words of ROUGE-L
    item: Ints  # the item of each pair, ascending
    items: int


class OrderCounts(NamedTuple):
    """Counts of one n-gram order: a row is an n-gram that occurs in a pair; rows are sorted by n-gram, then pair."""

    ngram: Ints
    pair: Ints
    predicted: Ints  # how often the prediction of the pair has it
    referenced: Ints  # how often the reference of the pair has it
    ngrams: int  # number of different n-grams of this order


class NgramCounts(NamedTuple):
    """N-gram counts of a set of items."""

    orders: tuple[OrderCounts, ...]
    predicted_length: Ints  # words per pair
    referenced_length: Ints
    item: Ints  # the item of each pair, ascending
    items: int


def pair_texts(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> TextPairs:
    """Split every prediction and reference into numbered words.

    Args:
        predictions: One text per item.
        references: One or several texts per item.

    Returns:
        The words of every pair of a prediction and one of its references.

    Example:
        >>> pairs = pair_texts(["a b"], [["b  c"]])
        >>> pairs.whitespace.lengths.tolist(), pairs.spaces.lengths.tolist()
        ([2, 2], [2, 3])
    """
    texts = [
        text
        for prediction, several in zip(predictions, references, strict=True)
        for reference in several
        for text in (prediction, reference)
    ]
    separator, everything = _SEPARATOR, " ".join(texts)
    while separator in everything:
        separator += _SEPARATOR
    joined = f" {separator} ".join(texts)
    whitespace = _number_words(joined.split(), separator)
    # In an ordinary text, single spaces are the only white space (no other is printable): both splits are the same.
    ordinary = joined.isprintable() and "  " not in joined and joined == joined.strip()
    spaces = whitespace if ordinary else _number_words(joined.split(" "), separator)
    per_item = np.fromiter(map(len, references), np.int64, len(references))
    return TextPairs(whitespace, spaces, np.repeat(np.arange(len(references)), per_item), len(references))


def _number_words(words: list[str], separator: str) -> WordIds:
    distinct = dict.fromkeys([separator])
    distinct.update(dict.fromkeys(words))
    id_of = dict(zip(distinct, range(len(distinct)), strict=True))
    ids = np.fromiter(map(id_of.__getitem__, words), np.int64, len(words))
    separators = np.flatnonzero(ids == 0)
    lengths = np.diff(np.concatenate(([-1], separators, [len(ids)]))) - 1
    return WordIds(np.delete(ids, separators), lengths, len(distinct))


def sort_with_positions(keys: Ints, positions: Ints) -> tuple[Ints, Ints]:
    """Sort keys, equal keys by their positions, which must ascend.

    Example:
        >>> [column.tolist() for column in sort_with_positions(np.array([5, 3, 5]), np.array([0, 4, 9]))]
        [[3, 5, 5], [4, 0, 9]]
    """
    bits = int(positions[-1]).bit_length()
    if int(keys.max()).bit_length() + bits < 63:
        packed = (keys << bits) | positions  # sorting numbers is several times faster than sorting an index
        packed.sort()
        return packed >> bits, packed & ((1 << bits) - 1)
    order = np.argsort(keys, kind="stable")
    return keys[order], positions[order]


def count_ngrams(pairs: TextPairs) -> NgramCounts:
    """Count the 1- to 4-grams of every pair.

    Example:
        >>> counts = count_ngrams(pair_texts(["a b a"], [["a c"]]))
        >>> counts.orders[0].predicted.tolist(), counts.orders[0].referenced.tolist()  # of a, b, c
        ([2, 1, 0], [1, 0, 1])
    """
    ids, lengths, size = pairs.whitespace
    text_of = np.repeat(np.arange(len(lengths)), lengths)
    orders = []
    rank, starts, keys = ids, np.arange(len(ids)), ids
    for n in range(1, MAX_ORDER + 1):
        if n > 1:
            starts = np.arange(max(len(ids) - n + 1, 0))
            starts = starts[text_of[starts] == text_of[starts + n - 1]]
            keys = rank[starts] * size + ids[starts + n - 1]
        order, rank = _count_order(keys, starts, text_of)
        orders.append(order)
    return NgramCounts(tuple(orders), lengths[0::2], lengths[1::2], pairs.item, pairs.items)


def _count_order(keys: Ints, starts: Ints, text_of: Ints) -> tuple[OrderCounts, Ints]:
    """Return the counts of one order, and the rank of the n-gram at each position for the keys of the next order."""
    rank = np.zeros(len(text_of), np.int64)
    if not len(keys):
        none = np.zeros(0, np.int64)
        return OrderCounts(none, none, none, none, 0), rank
    sorted_keys, position = sort_with_positions(keys, starts)
    text = text_of[position]
    pair = text >> 1
    new_ngram = np.empty(len(keys), bool)
    new_ngram[0] = True
    np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=new_ngram[1:])
    ngram = np.cumsum(new_ngram) - 1
    rank[position] = ngram
    new_row = new_ngram
    new_row[1:] |= pair[1:] != pair[:-1]
    first = np.flatnonzero(new_row)
    total = np.diff(first, append=len(keys))
    referenced = np.add.reduceat(text & 1, first)
    return OrderCounts(ngram[first], pair[first], total - referenced, referenced, int(ngram[-1]) + 1), rank
