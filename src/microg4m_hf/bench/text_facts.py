"""How long, how varied and how evasive texts are, beside their references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..metrics.text.caption_vqa import is_refusal


def text_facts(texts: Sequence[str]) -> dict[str, Any]:
    """Words per text, share of empty and evasive texts, and the share of the commonest text.

    >>> facts = text_facts(["Not mentioned.", "A crew eats.", "Not mentioned.", ""])
    >>> facts["refusals"], facts["empty"], facts["words_median"], facts["commonest_share"]
    (0.5, 0.25, 2.0, 0.5)
    """
    if not texts:
        return {"texts": 0}
    words = np.array([len(text.split()) for text in texts])
    _, counts = np.unique(np.array(list(texts), dtype=object).astype(str), return_counts=True)
    return {
        "texts": len(texts),
        "words_mean": float(words.mean()),
        "words_median": float(np.median(words)),
        "words_5": float(np.percentile(words, 5)),
        "words_95": float(np.percentile(words, 95)),
        "empty": float((words == 0).mean()),
        "refusals": float(np.mean([is_refusal(text) for text in texts])),
        "distinct": float(counts.size / len(texts)),
        "commonest_share": float(counts.max() / len(texts)),
        "histogram": length_histogram(words),
    }


def length_histogram(words: np.ndarray, edges: Sequence[int] = (0, 1, 2, 4, 8, 16, 32, 64, 128)) -> dict[str, int]:
    """How many texts have how many words, in classes that double.

    >>> length_histogram(np.array([0, 3, 200]), (0, 1, 4))
    {'0': 1, '1–3': 1, '4 and more': 1}
    """
    found: dict[str, int] = {}
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        inside = words >= low if high is None else (words >= low) & (words < high)
        name = f"{low} and more" if high is None else str(low) if high == low + 1 else f"{low}–{high - 1}"
        found[name] = int(inside.sum())
    return found
