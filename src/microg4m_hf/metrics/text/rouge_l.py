"""ROUGE-L as the COCO caption code computes it: F with beta 1.2 on the longest common subsequence, mean over items.

Words are what ``split(" ")`` gives: two spaces enclose an empty word, a tab or newline separates nothing, and two
empty texts share their one empty word, so they score 1. With several references, the best precision and the best
recall may come from different ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .subsequence import common_subsequences
from .words import Pairs

_BETA_SQUARED = 1.2**2


def rouge_l_items(pairs: Pairs) -> NDArray[np.float64]:
    """The ROUGE-L of every item; the corpus score is their mean.

    >>> from microg4m_hf.metrics.text.words import pair_words
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
