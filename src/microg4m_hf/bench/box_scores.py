"""One row per predicted box with all its scores, beside what its person really does."""

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
    """Boxes that belong to a labelled person; classes are the 50 actions in packed order."""

    video: list[str]
    frame: np.ndarray
    box: np.ndarray  # (boxes, 4)
    scores: np.ndarray  # (boxes, 50), -inf where a class has no score
    truth: np.ndarray  # (boxes, 50) bool
    logits: bool
    person: np.ndarray  # (boxes,) released id of the labelled person, -1 where the references do not say

    @property
    def chances(self) -> np.ndarray:
        """Scores as probabilities."""
        return sigmoid(self.scores) if self.logits else self.scores


def box_scores(scored: HarResult) -> BoxScores:
    """Lay a scored system out by box; a box that was scored twice counts once."""
    return aligned_scores(scored.aligned, scored.settings.scores_are)


def aligned_scores(aligned: Alignment, scores_are: str | None) -> BoxScores:
    """The same of predictions that were laid beside references and not scored."""
    predictions, references = aligned.predictions, aligned.references
    slot = np.full(max(ACTION_IDS) + 1, -1)
    slot[list(ACTION_IDS)] = np.arange(len(ACTION_IDS))
    assert predictions.score is not None
    matrix = np.full((len(aligned.boxes), len(ACTION_IDS)), -np.inf)
    place = slot[np.minimum(predictions.action, slot.size - 1)]
    kept = np.flatnonzero((aligned.boxes.copy == 0) & (place >= 0))
    matrix[aligned.boxes.of_row[kept], place[kept]] = predictions.score[kept]
    own = np.zeros((len(aligned.persons), len(ACTION_IDS)), dtype=bool)
    label = slot[np.minimum(references.action, slot.size - 1)]
    known = np.flatnonzero(label >= 0)
    own[aligned.persons.of_row[known], label[known]] = True
    used = np.flatnonzero(aligned.partner >= 0)
    first = aligned.boxes.first[used]
    return BoxScores(
        [predictions.videos[code] for code in predictions.video[first]],
        predictions.frame[first],
        predictions.box[first],
        matrix[used],
        own[aligned.partner[used]],
        are_logits(predictions, scores_are),
        np.full(len(used), -1) if references.person is None else references.person[persons_of(aligned, used)],
    )


def persons_of(aligned: Alignment, boxes: np.ndarray) -> np.ndarray:
    """For each of some boxes the first reference row of its labelled person."""
    return aligned.persons.first[aligned.partner[boxes]]


# Which actions are named instead of others, and what becomes of actions that occur together.
#
# Labels are several per person, so a person with n actions is compared with the n actions that the model ranks first.


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


# Precision against recall, and how far a model's probabilities can be believed.

_RECALLS = np.linspace(0, 1, 51)


def precision_recall(scored: HarResult) -> dict[str, list[float]]:
    """Mean over actions of the interpolated precision at each recall; its area is the mAP up to the grid."""
    table = scored.statistics.frame_ap
    curves = []
    for place, positives in enumerate(table.positives):
        hit = table.ranking.hit[table.ranking.start[place] : table.ranking.start[place + 1]]
        if positives > 0:
            curves.append(_interpolated(hit, int(positives)))
    mean = np.mean(curves, axis=0) if curves else np.full(_RECALLS.size, np.nan)
    return {"recall": _RECALLS.tolist(), "precision": mean.tolist()}


def _interpolated(hit: np.ndarray, positives: int) -> np.ndarray:
    """Best precision at each recall or beyond; 0 where a recall is never reached."""
    found = np.cumsum(hit)
    envelope = np.maximum.accumulate((found / np.arange(1, hit.size + 1))[::-1])[::-1]
    at = np.searchsorted(found, np.maximum(np.ceil(_RECALLS * positives - 1e-9), 1))
    return np.append(envelope, 0.0)[np.minimum(at, hit.size)]


def reliability(boxes: BoxScores, bins: int = 10) -> dict[str, Any]:
    """Said probability against found frequency in equal bins over all boxes and actions, and the mean gap (ECE)."""
    defined = np.isfinite(boxes.scores)
    said, true = boxes.chances[defined], boxes.truth[defined]
    if not said.size:
        return {"bins": [], "ece": float("nan")}
    place = np.minimum((said * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_said = np.bincount(place, said, minlength=bins) / count
        mean_true = np.bincount(place, true, minlength=bins) / count
    gap = np.nansum(np.abs(mean_said - mean_true) * count) / count.sum()
    return {
        "bins": [
            {"count": int(n), "said": float(s), "found": float(t)}
            for n, s, t in zip(count, mean_said, mean_true, strict=True)
            if n
        ],
        "ece": float(gap),
        "scores_are": "logits" if boxes.logits else "probabilities",
    }
