"""ROUGE-L as the COCO caption code computes it: F with beta 1.2 on the longest common subsequence, mean over items.

Words are the result of ``split(" ")``: two spaces enclose an empty word, a tab or newline separates nothing, and two
empty texts share their one empty word, so they score 1. With several references, the best precision and the best
recall may come from different ones.

The subsequences of many pairs are found at once, 63 words of the reference per machine word. The row of the usual table
is kept as bits: a zero marks a column where the length grows by one. Each word of the prediction moves the zeros with
one addition: ``row = (row + hits) | (row - hits)``, where ``hits`` has the set bits at which the reference has that
word. All pairs of a block take this step together. With 63 bits instead of 64, the carry is simply the top bit.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .ngrams import Ints, TextPairs, WordIds, sort_with_positions

_BETA_SQUARED = 1.2**2
_BITS = 63
_ALL = np.uint64((1 << _BITS) - 1)
_BLOCK_WORDS = 1 << 17  # bounds the memory of a block, and keeps it in the cache
_LONGEST = 8 * _BITS  # longer references are handled one pair at a time


def rouge_l_items(pairs: TextPairs) -> NDArray[np.float64]:
    """Compute the ROUGE-L of every item; the corpus score is their mean.

    Example:
        >>> from microg4m_hf.metrics.text.ngrams import pair_texts
        >>> rouge_l_items(pair_texts(["a  b c"], [["a b  c"]])).tolist()
        [0.75]
    """
    if not pairs.items:
        return np.zeros(0)
    common = common_subsequences(pairs.spaces)
    first_pair = np.searchsorted(pairs.item, np.arange(pairs.items))
    precision = np.maximum.reduceat(common / pairs.spaces.lengths[0::2], first_pair)
    recall = np.maximum.reduceat(common / pairs.spaces.lengths[1::2], first_pair)
    denominator = recall + _BETA_SQUARED * precision
    numerator = (1 + _BETA_SQUARED) * precision * recall
    return np.divide(numerator, denominator, out=np.zeros(pairs.items), where=denominator > 0)


def common_subsequences(words: WordIds) -> Ints:
    """Return the length of the longest common subsequence of texts 2p and 2p + 1, for every p.

    Example:
        >>> from microg4m_hf.metrics.text.ngrams import pair_texts
        >>> common_subsequences(pair_texts(["the cat sat on the mat"], [["the mat sat"]]).spaces).tolist()
        [2]
    """
    pairs = len(words.lengths) // 2
    ends = np.cumsum(words.lengths)
    result = np.zeros(pairs, np.int64)
    long = words.lengths[1::2] > _LONGEST
    for pair in np.flatnonzero(long):
        start, middle, end = ends[2 * pair] - words.lengths[2 * pair], ends[2 * pair], ends[2 * pair + 1]
        result[pair] = _pair_length(words.ids[start:middle].tolist(), words.ids[middle:end].tolist())

    block_of = ends[1::2] // _BLOCK_WORDS
    edges = [0, *(np.flatnonzero(np.diff(block_of)) + 1), pairs]
    for low, high in pairwise(edges):
        short = np.arange(low, high)[~long[low:high]]
        if len(short):
            result[short] = _block_lengths(words, ends, short)
    return result


def _block_lengths(words: WordIds, ends: Ints, pairs: Ints) -> Ints:
    order = np.argsort(-words.lengths[2 * pairs], kind="stable")
    longest_first = pairs[order]
    texts = np.stack([2 * longest_first, 2 * longest_first + 1], axis=1).ravel()
    lengths = words.lengths[texts]
    text_of = np.repeat(np.arange(len(texts)), lengths)
    starts = np.cumsum(lengths) - lengths
    within = np.arange(len(text_of)) - starts[text_of]
    ids = words.ids[(ends[texts] - lengths)[text_of] + within]
    parts = int(np.ceil(lengths[1::2].max(initial=1) / _BITS))
    masks = _word_masks(ids, text_of, within, parts)

    rows = np.full((parts, len(pairs)), _ALL)
    steps = np.searchsorted(-lengths[0::2], -np.arange(lengths[0]), side="left")  # pairs that have a next word
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


def _word_masks(ids: Ints, text_of: Ints, within: Ints, parts: int) -> np.ndarray:
    """Return, for each position, the bits of the positions where the reference has that word: (parts, positions)."""
    masks = np.zeros((parts, len(ids)), np.uint64)
    if not len(ids):
        return masks
    # The pair goes into the key, so that equal keys are one word of one pair.
    key, position = sort_with_positions(ids * (text_of[-1] + 1) + (text_of >> 1), np.arange(len(ids)))
    first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    repeats = np.diff(first, append=len(key))
    part_of = np.where(text_of[position] & 1, within[position] // _BITS, -1)
    bit = np.uint64(1) << (within[position] % _BITS).astype(np.uint64)
    for part in range(parts):
        union = np.bitwise_or.reduceat(np.where(part_of == part, bit, np.uint64(0)), first)
        masks[part, position] = np.repeat(union, repeats)
    return masks


def _pair_length(first: list[int], second: list[int]) -> int:
    """Return the length for one pair of any size, computed with Python's unbounded integers."""
    positions: dict[int, int] = {}
    for index, word in enumerate(second):
        positions[word] = positions.get(word, 0) | 1 << index
    everywhere = (1 << len(second)) - 1
    row = everywhere
    for word in first:
        if word in positions:
            hits = row & positions[word]
            row = ((row + hits) | (row - hits)) & everywhere
    return len(second) - row.bit_count()
