"""Scores of predicted boxes beside the labels of their persons, and what a report derives from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metrics.har.alignment import Alignment
from ..metrics.har.result import HarResult
from ..metrics.har.statistics import sigmoid
from ..metrics.har.thresholds import are_logits
from ..taxonomy import ACTION_IDS, ACTIONS


@dataclass(frozen=True)
class BoxScores:
    """Boxes that belong to a labeled person; classes are the 50 actions in packed order."""

    video: list[str]
    frame: np.ndarray
    box: np.ndarray  # (boxes, 4)
    scores: np.ndarray  # (boxes, 50), -inf where a class has no score
    labels: np.ndarray  # (boxes, 50) bool
    logits: bool
    person: np.ndarray  # (boxes,) released id of the labeled person, -1 where the references have none

    @property
    def probabilities(self) -> np.ndarray:
        """The scores as probabilities."""
        return sigmoid(self.scores) if self.logits else self.scores


def box_scores(result: HarResult) -> BoxScores:
    """Return one row per box of a scored run; a box that was predicted twice counts once."""
    return aligned_box_scores(result.alignment, result.settings.scores_are)


def aligned_box_scores(aligned: Alignment, scores_are: str | None) -> BoxScores:
    """Return the same for predictions that were matched with references but not scored."""
    predictions, references = aligned.predictions, aligned.references
    slot = np.full(max(ACTION_IDS) + 1, -1)
    slot[list(ACTION_IDS)] = np.arange(len(ACTION_IDS))
    assert predictions.score is not None
    matrix = np.full((len(aligned.boxes), len(ACTION_IDS)), -np.inf)
    place = slot[np.minimum(predictions.action, slot.size - 1)]
    kept = np.flatnonzero((aligned.boxes.copy == 0) & (place >= 0))
    matrix[aligned.boxes.of_row[kept], place[kept]] = predictions.score[kept]
    labels = np.zeros((len(aligned.persons), len(ACTION_IDS)), dtype=bool)
    label = slot[np.minimum(references.action, slot.size - 1)]
    known = np.flatnonzero(label >= 0)
    labels[aligned.persons.of_row[known], label[known]] = True
    used = np.flatnonzero(aligned.partner >= 0)
    first = aligned.boxes.first[used]
    return BoxScores(
        [predictions.videos[code] for code in predictions.video[first]],
        predictions.frame[first],
        predictions.box[first],
        matrix[used],
        labels[aligned.partner[used]],
        are_logits(predictions, scores_are),
        np.full(len(used), -1)
        if references.person is None
        else references.person[aligned.persons.first[aligned.partner[used]]],
    )


def top_actions(boxes: BoxScores) -> np.ndarray:
    """Return the n top-ranked actions of every box whose person does n actions, as a mask like ``labels``."""
    order = np.argsort(-boxes.scores, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[1])[None, :], axis=1)
    return (rank < boxes.labels.sum(axis=1, keepdims=True)) & np.isfinite(boxes.scores)


def confusions(boxes: BoxScores) -> np.ndarray:
    """Return ``[true, predicted]``: missed actions, shared evenly among those that were predicted wrongly instead."""
    top = top_actions(boxes)
    missed, wrong = boxes.labels & ~top, top & ~boxes.labels
    share = wrong.sum(axis=1, keepdims=True).clip(1)
    return missed.T.astype(float) @ (wrong / share)


def top_confusions(boxes: BoxScores, count: int = 12) -> dict[str, Any]:
    """Return the rows and columns of the confusion table for the actions that are confused most."""
    table, top = confusions(boxes), top_actions(boxes)
    weight = table.sum(axis=0) + table.sum(axis=1)
    selected = np.sort(np.argsort(-weight, kind="stable")[:count])
    selected = selected[weight[selected] > 0]
    true = boxes.labels.sum(axis=0)
    found = (boxes.labels & top).sum(axis=0)
    return {
        "actions": [ACTIONS[label].name for label in selected],
        "true": true[selected].tolist(),
        "found": found[selected].tolist(),
        "named_instead": table[np.ix_(selected, selected)].round(2).tolist(),
    }


def action_pairs(boxes: BoxScores, count: int = 10) -> list[dict[str, Any]]:
    """Return the most frequent pairs of actions of one person, and how often both, one or none is predicted."""
    top, labels = top_actions(boxes), boxes.labels
    together = labels.T.astype(int) @ labels.astype(int)
    pairs = [(int(together[one, two]), one, two) for one, two in zip(*np.triu_indices(len(ACTIONS), 1), strict=True)]
    table = []
    for times, one, two in sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:count]:
        if not times:
            break
        both = labels[:, one] & labels[:, two]
        first, second = top[both, one], top[both, two]
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


_RECALLS = np.linspace(0, 1, 51)


def precision_recall(result: HarResult) -> dict[str, list[float]]:
    """Return the interpolated precision at each recall, averaged over actions."""
    table = result.statistics.frame_ap
    curves = []
    for place, positives in enumerate(table.positives):
        hit = table.ranking.hit[table.ranking.start[place] : table.ranking.start[place + 1]]
        if positives > 0:
            curves.append(_interpolated(hit, int(positives)))
    mean = np.mean(curves, axis=0) if curves else np.full(_RECALLS.size, np.nan)
    return {"recall": _RECALLS.tolist(), "precision": mean.tolist()}


def _interpolated(hit: np.ndarray, positives: int) -> np.ndarray:
    """Return the best precision at each recall or beyond; 0 where a recall is never reached."""
    found = np.cumsum(hit)
    envelope = np.maximum.accumulate((found / np.arange(1, hit.size + 1))[::-1])[::-1]
    at = np.searchsorted(found, np.maximum(np.ceil(_RECALLS * positives - 1e-9), 1))
    return np.append(envelope, 0.0)[np.minimum(at, hit.size)]


def reliability(boxes: BoxScores, bins: int = 10) -> dict[str, Any]:
    """Compare mean predicted probabilities (``said``) with observed frequencies (``found``) in equal bins.

    ``ece`` is the expected calibration error over all boxes and actions.
    """
    defined = np.isfinite(boxes.scores)
    predicted, true = boxes.probabilities[defined], boxes.labels[defined]
    if not predicted.size:
        return {"bins": [], "ece": float("nan")}
    place = np.minimum((predicted * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_predicted = np.bincount(place, predicted, minlength=bins) / count
        observed = np.bincount(place, true, minlength=bins) / count
    gap = np.nansum(np.abs(mean_predicted - observed) * count) / count.sum()
    return {
        "bins": [
            {"count": int(n), "said": float(p), "found": float(t)}
            for n, p, t in zip(count, mean_predicted, observed, strict=True)
            if n
        ],
        "ece": float(gap),
        "scores_are": "logits" if boxes.logits else "probabilities",
    }
