"""Two scored systems, action by action, with intervals: on the same boxes (paired) or on different data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..metrics.har.result import HarResult
from ..metrics.har.statistics import Statistics
from ..metrics.significance import add_corrected_p_values, paired_test
from ..taxonomy import ACTIONS
from .scoring import Scored


def differences(
    first: HarResult,
    second: HarResult,
    *,
    paired: bool,
    resamples: int = 1000,
    seed: int = 0,
    left_out: Collection[int] = (),
) -> dict[str, Any]:
    """``first - second`` for the average precision of every action that both can be scored on, and for their mean.

    Unpaired systems are drawn independently. AP depends on how common an action is, so each side also has its chance
    level (the share of boxes with the action) and AUROC, which does not depend on it.
    """
    sides = [first.statistics, second.statistics]
    scores = [side.per_class for side in (first, second)]
    seeds = (seed, seed if paired else seed + 1)
    drawn = [side.resample(resamples, own) for side, own in zip((first, second), seeds, strict=True)]
    places = [{action: place for place, action in enumerate(side.classes)} for side in sides]
    table: list[dict[str, Any]] = []
    gaps: list[np.ndarray] = []
    for action in ACTIONS:
        if action.action_id in left_out or any(action.action_id not in place for place in places):
            continue
        spots = [place[action.action_id] for place in places]
        values = [float(score.ap[spot]) for score, spot in zip(scores, spots, strict=True)]
        if any(value != value for value in values):
            continue
        gap = drawn[0].ap[:, spots[0]] - drawn[1].ap[:, spots[1]]
        gaps.append(gap)
        table.append(
            {
                "action_id": action.action_id,
                "name": action.name,
                "first": values[0],
                "second": values[1],
                **paired_test(values[0] - values[1], gap),
                "auroc": [float(score.auroc[spot]) for score, spot in zip(scores, spots, strict=True)],
                "labels": [_labels(side, action.action_id) for side in sides],
                "chance": [_labels(side, action.action_id) / max(side.boxes, 1) for side in sides],
            }
        )
    add_corrected_p_values(table)
    return {"classes": table, "matched": _mean(table, gaps), "paired": paired, "resamples": resamples, "seed": seed}


def _mean(table: list[dict[str, Any]], gaps: list[np.ndarray]) -> dict[str, Any]:
    """The mean over the actions in the table; in a resample over those that it holds on both sides."""
    if not table:
        return {"classes": 0}
    both = np.array(gaps)
    known = ~np.isnan(both)
    with np.errstate(invalid="ignore"):
        drawn = np.where(known, both, 0.0).sum(axis=0) / known.sum(axis=0)
    first = float(np.mean([entry["first"] for entry in table]))
    second = float(np.mean([entry["second"] for entry in table]))
    return {
        "classes": len(table),
        "first": first,
        "second": second,
        **paired_test(first - second, drawn),
        "auroc": [float(np.nanmean([entry["auroc"][side] for entry in table])) for side in (0, 1)],
        "chance": [float(np.mean([entry["chance"][side] for entry in table])) for side in (0, 1)],
    }


def _labels(side: Statistics, action: int) -> int:
    ids = [one for one, scored in zip(side.classes, side.scored, strict=True) if scored]
    return int(side.label_counts[:, ids.index(action)].sum())


# Every system against every other: differences of one score with paired p-values.

MAIN_SCORE = {"har": "map", "caption": "cider", "vqa": "cider"}


def comparison_matrix(systems: Sequence[Scored], score: str) -> list[dict[str, Any]]:
    """One entry for each pair: difference, interval, p and p corrected for the number of pairs (Holm).

    All systems were drawn with the same films in every resample; pairs whose items differ are said to be
    incomparable instead of being compared.
    """
    pairs: list[dict[str, Any]] = []
    for place, first in enumerate(systems):
        for second in systems[place + 1 :]:
            entry: dict[str, Any] = {"first": first.system.name, "second": second.system.name}
            one, two = first.samples.get(score), second.samples.get(score)
            if one is None or two is None:
                entry["why_not"] = "not resampled"
            elif _items(first) != _items(second):
                entry["why_not"] = "scored on other items"
            else:
                entry |= paired_test(first.result["scores"][score] - second.result["scores"][score], one - two)
            pairs.append(entry)
    add_corrected_p_values(pair for pair in pairs if "p" in pair)
    return pairs


def _items(scored: Scored) -> Any:
    if scored.har is not None:
        statistics = scored.har.statistics
        return statistics.sources, statistics.label_counts.tolist()
    return sorted(map(str, scored.result["ids"]))
