"""Scores of a part of the items, from the statistics of all of them.

CIDEr's idf weights stay those of the full set of references, so that the parts' means add up to the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .bleu import bleu_from_statistics


def part_scores(result: Mapping[str, Any], places: Sequence[int]) -> dict[str, float]:
    """The scores of the items at ``places``; nan where there are none."""
    rows = np.asarray(places, np.int64)
    if not rows.size:
        return dict.fromkeys(result["scores"], float("nan"))
    scores = {name: float(np.mean(np.asarray(values)[rows])) for name, values in result["items"].items()}
    for name, statistics in result["statistics"].items():
        total = np.asarray(statistics)[rows].sum(0)
        if name == "bleu":
            scores |= {f"bleu_{n}": float(value) for n, value in enumerate(bleu_from_statistics(total), start=1)}
        else:
            from .meteor_1_5 import meteor_from_statistics

            scores[name] = float(meteor_from_statistics(total))
    return {name: scores[name] for name in result["scores"]}


def parts_by(result: Mapping[str, Any], names: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """``{name: {"items": count, "scores": {...}}}`` for items that carry the same name."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(str(name), []).append(place)
    return {name: {"items": len(rows), "scores": part_scores(result, rows)} for name, rows in sorted(places.items())}
