"""Longest common subsequences of many pairs of texts at once, 63 words of the reference per machine word.

The row of the usual table is kept as bits: a zero marks a column where the length grows by one. Each word of the
prediction moves the zeros with one addition: ``row = (row + hits) | (row - hits)``, ``hits`` being the set bits at
places where the reference has that word. All pairs of a block take this step together. 63 bits and not 64, so that
the carry into the next part is simply the top bit.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .ngrams import Ints, Pairs, Words, sort_with_places

_BITS = 63
_ALL = np.uint64((1 << _BITS) - 1)
_BLOCK_WORDS = 1 << 17  # bounds the memory of a block, and keeps it in the cache
_LONGEST = 8 * _BITS  # beyond, one pair at a time


def common_subsequences(words: Words) -> Ints:
    """The length of the longest common subsequence of texts 2p and 2p + 1, for every p.

    >>> from microg4m_hf.metrics.text.ngrams import pair_words
    >>> common_subsequences(pair_words(["the cat sat on the mat"], [["the mat sat"]]).spaces).tolist()
    [2]
    """
    pairs = len(words.lengths) // 2
    ends = np.cumsum(words.lengths)
    result = np.zeros(pairs, np.int64)
    long = words.lengths[1::2] > _LONGEST
    for pair in np.flatnonzero(long):
        start, middle, end = ends[2 * pair] - words.lengths[2 * pair], ends[2 * pair], ends[2 * pair + 1]
        result[pair] = _one_pair(words.ids[start:middle].tolist(), words.ids[middle:end].tolist())

    block_of = ends[1::2] // _BLOCK_WORDS
    edges = [0, *(np.flatnonzero(np.diff(block_of)) + 1), pairs]
    for low, high in pairwise(edges):
        chosen = np.arange(low, high)[~long[low:high]]
        if len(chosen):
            result[chosen] = _block(words, ends, chosen)
    return result


def _block(words: Words, ends: Ints, pairs: Ints) -> Ints:
    order = np.argsort(-words.lengths[2 * pairs], kind="stable")
    longest_first = pairs[order]
    texts = np.stack([2 * longest_first, 2 * longest_first + 1], axis=1).ravel()
    lengths = words.lengths[texts]
    text_of = np.repeat(np.arange(len(texts)), lengths)
    starts = np.cumsum(lengths) - lengths
    within = np.arange(len(text_of)) - starts[text_of]
    ids = words.ids[(ends[texts] - lengths)[text_of] + within]
    parts = int(np.ceil(lengths[1::2].max(initial=1) / _BITS))
    masks = _masks(ids, text_of, within, parts)

    rows = np.full((parts, len(pairs)), _ALL)
    steps = np.searchsorted(-lengths[0::2], -np.arange(lengths[0]), side="left")  # pairs still in play at each word
    for step, active in enumerate(steps):
        hits_at = masks[:, starts[0 : 2 * active : 2] + step]
        carry = np.zeros(active, np.uint64)
        for part in range(parts):
            row = rows[part, :active]
            hits = row & hits_at[part]
            total = row + hits + carry
            carry = total >> np.uint64(_BITS)
            rows[part, :active] = (total & _ALL) | (row ^ hits)
    ones = np.unpackbits(rows.view(np.uint8), axis=1).reshape(parts, len(pairs), 64).sum((0, 2), dtype=np.int64)
    found = np.empty(len(pairs), np.int64)
    found[order] = parts * _BITS - ones
    return found


def _masks(ids: Ints, text_of: Ints, within: Ints, parts: int) -> np.ndarray:
    """For each place the bits of the places where the pair's reference has the same word: shape (parts, places)."""
    masks = np.zeros((parts, len(ids)), np.uint64)
    if not len(ids):
        return masks
    # The pair goes into the key, so that equal keys are one word of one pair.
    key, place = sort_with_places(ids * (text_of[-1] + 1) + (text_of >> 1), np.arange(len(ids)))
    first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    repeats = np.diff(first, append=len(key))
    part_of = np.where(text_of[place] & 1, within[place] // _BITS, -1)
    bit = np.uint64(1) << (within[place] % _BITS).astype(np.uint64)
    for part in range(parts):
        union = np.bitwise_or.reduceat(np.where(part_of == part, bit, np.uint64(0)), first)
        masks[part, place] = np.repeat(union, repeats)
    return masks


def _one_pair(first: list[int], second: list[int]) -> int:
    """The same for one pair of any length, on Python's unbounded integers."""
    places: dict[int, int] = {}
    for index, word in enumerate(second):
        places[word] = places.get(word, 0) | 1 << index
    everywhere = (1 << len(second)) - 1
    row = everywhere
    for word in first:
        if word in places:
            hits = row & places[word]
            row = ((row + hits) | (row - hits)) & everywhere
    return len(second) - row.bit_count()


# ROUGE-L as the COCO caption code computes it: F with beta 1.2 on the longest common subsequence, mean over items.
#
# Words are what ``split(" ")`` gives: two spaces enclose an empty word, a tab or newline separates nothing, and two
# empty texts share their one empty word, so they score 1. With several references, the best precision and the best
# recall may come from different ones.

_BETA_SQUARED = 1.2**2


def rouge_l_items(pairs: Pairs) -> NDArray[np.float64]:
    """The ROUGE-L of every item; the corpus score is their mean.

    >>> from microg4m_hf.metrics.text.ngrams import pair_words
    >>> rouge_l_items(pair_words(["a  b c"], [["a b  c"]])).tolist()
    [0.75]
    """
    if not pairs.items:
        return np.zeros(0)
    common = common_subsequences(pairs.spaces)
    first_pair = np.searchsorted(pairs.item, np.arange(pairs.items))
    precision = np.maximum.reduceat(common / pairs.spaces.lengths[0::2], first_pair)
    recall = np.maximum.reduceat(common / pairs.spaces.lengths[1::2], first_pair)
    weighed = recall + _BETA_SQUARED * precision
    return np.divide((1 + _BETA_SQUARED) * precision * recall, weighed, out=np.zeros(pairs.items), where=weighed > 0)
