"""One row per predicted box with all its scores, beside what its person really does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..metrics.har.alignment import Aligned
from ..metrics.har.scores import Scored
from ..metrics.har.statistics import probabilities
from ..metrics.har.thresholds import are_logits
from ..taxonomy import ACTION_IDS


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
        return probabilities(self.scores) if self.logits else self.scores


def box_scores(scored: Scored) -> BoxScores:
    """Lay a scored system out by box; a box that was scored twice counts once."""
    return aligned_scores(scored.aligned, scored.settings.scores_are)


def aligned_scores(aligned: Aligned, scores_are: str | None) -> BoxScores:
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


def persons_of(aligned: Aligned, boxes: np.ndarray) -> np.ndarray:
    """For each of some boxes the first reference row of its labelled person."""
    return aligned.persons.first[aligned.partner[boxes]]
