"""Texts as arrays of word numbers: all texts are joined, split and numbered in one go, which is where the speed is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
