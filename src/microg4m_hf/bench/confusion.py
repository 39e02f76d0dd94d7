"""Which actions are named instead of others, and what becomes of actions that occur together.

Labels are several per person, so a person with n actions is compared with the n actions that the model ranks first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..taxonomy import ACTIONS
from .boxes import BoxScores


def named_first(boxes: BoxScores) -> np.ndarray:
    """Per box as many best-ranked actions as its person really does, as a mask like ``truth``."""
    order = np.argsort(-boxes.scores, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[1])[None, :], axis=1)
    return (rank < boxes.truth.sum(axis=1, keepdims=True)) & np.isfinite(boxes.scores)


def confusions(boxes: BoxScores) -> np.ndarray:
    """``[true, named]``: boxes on which an action was missed, shared evenly among those named wrongly in its place."""
    named = named_first(boxes)
    missed, wrong = boxes.truth & ~named, named & ~boxes.truth
    share = wrong.sum(axis=1, keepdims=True).clip(1)
    return missed.T.astype(float) @ (wrong / share)


def most_confused(boxes: BoxScores, count: int = 12) -> dict[str, Any]:
    """The part of the confusion table that holds the actions confused most, with their share found."""
    table, named = confusions(boxes), named_first(boxes)
    weight = table.sum(axis=0) + table.sum(axis=1)
    chosen = np.sort(np.argsort(-weight, kind="stable")[:count])
    chosen = chosen[weight[chosen] > 0]
    true = boxes.truth.sum(axis=0)
    found = (boxes.truth & named).sum(axis=0)
    return {
        "actions": [ACTIONS[label].name for label in chosen],
        "true": true[chosen].tolist(),
        "found": found[chosen].tolist(),
        "named_instead": table[np.ix_(chosen, chosen)].round(2).tolist(),
    }


def pairs_together(boxes: BoxScores, count: int = 10) -> list[dict[str, Any]]:
    """The pairs of actions that one person does most often together, and how often both, one or none is named."""
    named, truth = named_first(boxes), boxes.truth
    together = truth.T.astype(int) @ truth.astype(int)
    pairs = [(int(together[one, two]), one, two) for one, two in zip(*np.triu_indices(len(ACTIONS), 1), strict=True)]
    table = []
    for times, one, two in sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:count]:
        if not times:
            break
        both = truth[:, one] & truth[:, two]
        first, second = named[both, one], named[both, two]
        table.append(
            {
                "first": ACTIONS[one].name,
                "second": ACTIONS[two].name,
                "together": times,
                "both": int((first & second).sum()),
                "only_first": int((first & ~second).sum()),
                "only_second": int((~first & second).sum()),
                "none": int((~first & ~second).sum()),
            }
        )
    return table
