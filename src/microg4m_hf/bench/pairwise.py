"""Test differences between runs: per action for two runs, and by one score for all pairs of runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..metrics.har.result import HarResult
from ..metrics.jackknife import spread_between, spread_of
from ..metrics.significance import add_corrected_p_values, paired_test, spread_test
from ..taxonomy import ACTIONS
from .scoring import RunScores


def compare_runs(runs: Sequence[RunScores], score: str) -> list[dict[str, Any]]:
    """Compare every run with every other by one score, on the same films.

    Pairs that cannot be tested have the key ``why_not``: scored on different items, or on too few films.
    """
    pairs: list[dict[str, Any]] = []
    for place, first in enumerate(runs):
        for second in runs[place + 1 :]:
            entry: dict[str, Any] = {"first": first.name, "second": second.name}
            one, two = first.left_out.get(score), second.left_out.get(score)
            if one is None or two is None:
                entry["why_not"] = "scored without intervals"
            elif _items(first) != _items(second):
                entry["why_not"] = "scored on different items"
            else:
                entry |= paired_test(first.result["scores"][score] - second.result["scores"][score], one - two)
            pairs.append(entry)
    add_corrected_p_values(pair for pair in pairs if "p" in pair)
    return pairs


def _items(run: RunScores) -> Any:
    if run.har is not None:
        return run.har.statistics.sources, run.har.statistics.label_counts.tolist()
    return sorted(map(str, run.result["ids"]))


def class_differences(
    first: HarResult,
    second: HarResult,
    *,
    seed: int = 0,
    left_out: Collection[int] = (),
) -> dict[str, Any]:
    """Return ``first - second`` for the average precision of every action that both were scored on, and for the mean.

    Average precision depends on how common an action is, so each side also has its chance level (the share of boxes
    with the action) and AUROC, which does not depend on it. Each side has films of its own, and the error of a
    difference is that of both sides together. An action has an interval and a test only where enough films of both
    sides show it.
    """
    sides = [first.statistics, second.statistics]
    scores = [first.per_class, second.per_class]
    without_film = [first.left_out(seed).ap, second.left_out(seed).ap]
    films = [side.films_of_class for side in sides]
    places = [{action: place for place, action in enumerate(side.classes)} for side in sides]
    label_counts = [
        dict(zip(np.array(side.classes)[side.scored].tolist(), side.label_counts.sum(axis=0).tolist(), strict=True))
        for side in sides
    ]
    table: list[dict[str, Any]] = []
    compared: list[list[int]] = []
    for action in ACTIONS:
        if action.action_id in left_out or any(action.action_id not in place for place in places):
            continue
        spots = [place[action.action_id] for place in places]
        values = [float(score.ap[spot]) for score, spot in zip(scores, spots, strict=True)]
        if any(value != value for value in values):
            continue
        compared.append(spots)
        spreads = [
            spread_of(values[:, spot], int(count[spot]))
            for values, count, spot in zip(without_film, films, spots, strict=True)
        ]
        labels = [counts[action.action_id] for counts in label_counts]
        table.append(
            {
                "action_id": action.action_id,
                "name": action.name,
                "first": values[0],
                "second": values[1],
                **spread_test(values[0] - values[1], spread_between(*spreads)),
                "auroc": [float(score.auroc[spot]) for score, spot in zip(scores, spots, strict=True)],
                "labels": labels,
                "chance": [count / max(side.boxes, 1) for count, side in zip(labels, sides, strict=True)],
            }
        )
    add_corrected_p_values(table)
    mean = _mean(table, without_film, np.array(compared)) if table else {"classes": 0}
    return {"classes": table, "matched": mean, "paired": False}


def _mean(table: list[dict[str, Any]], without_film: list[np.ndarray], spots: np.ndarray) -> dict[str, Any]:
    """Average over the actions of the table; without a film, over those that still occur."""
    spreads = []
    for side, values in enumerate(without_film):
        own = values[:, spots[:, side]]
        known = ~np.isnan(own)
        with np.errstate(invalid="ignore"):
            spreads.append(spread_of(np.where(known, own, 0.0).sum(axis=1) / known.sum(axis=1)))
    first, second = (float(np.mean([entry[side] for entry in table])) for side in ("first", "second"))
    return {
        "classes": len(table),
        "first": first,
        "second": second,
        **spread_test(first - second, spread_between(*spreads)),
        "auroc": [float(np.nanmean([entry["auroc"][side] for entry in table])) for side in (0, 1)],
        "chance": [float(np.mean([entry["chance"][side] for entry in table])) for side in (0, 1)],
    }
