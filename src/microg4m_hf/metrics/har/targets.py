"""One row per box and class: its score and whether the box has the class, for F1, recall, precision and AUROC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...taxonomy import NUM_AVA_CLASSES
from .alignment import Alignment
from .rows import encode_keys


class Targets(NamedTuple):
    """Rows of boxes and classes in no particular order."""

    video: np.ndarray
    label: np.ndarray  # place among the classes
    score: np.ndarray  # -inf where no score was given
    positive: np.ndarray  # the box has the class
    absent: int  # class scores that were not given
    boxes: int


class BoxTargets:
    """The rows of an alignment under one of the two protocols."""

    def __init__(self, alignment: Alignment, classes: Sequence[int], *, strict: bool) -> None:
        """Prepare the rows; with ``strict``, a box without some scores is an error where others have all."""
        self.alignment, self.classes, self.strict = alignment, len(classes), strict
        self.place = np.full(max(NUM_AVA_CLASSES, *classes) + 1, -1)
        self.place[list(classes)] = np.arange(len(classes))
        label = self.place[alignment.references.action]
        self.truth = np.flatnonzero(label >= 0)
        self.truth_label = label[self.truth]

    def by_frame(self) -> Targets:
        """Return every row as given; a box is positive for the actions of all persons in its frame (paper protocol)."""
        predictions, references, boxes = self.alignment.predictions, self.alignment.references, self.alignment.boxes
        frame, frames = encode_keys(references.key, predictions.key)
        union = np.zeros((max(int(frame.max()), int(frames.max())) + 1, self.classes), dtype=bool)
        union[frame[self.truth], self.truth_label] = True
        label = self.place[predictions.action]
        video, score = predictions.video, predictions.score
        assert score is not None
        absent_box, absent_label = self._absent_scores()
        lost = self._lost_persons() if self.alignment.on_labeled_boxes else np.empty(0, dtype=np.int64)
        first = self.alignment.persons.first[lost]
        label = np.concatenate([label, absent_label, np.tile(np.arange(self.classes), lost.size)])
        video = np.concatenate(
            [video, video[boxes.first[absent_box]], np.repeat(references.video[first], self.classes)]
        )
        frames = np.concatenate([frames, frames[boxes.first[absent_box]], np.repeat(frame[first], self.classes)])
        score = np.concatenate([score, np.full(absent_box.size + lost.size * self.classes, -np.inf)])
        count = int(boxes.copies.sum()) + lost.size
        return Targets(video, label, score, union[frames, label], absent_box.size, count)

    def by_person(self) -> Targets:
        """Return each box once, positive for the actions of its own person; lost persons score lowest (instance)."""
        predictions, references, boxes = self.alignment.predictions, self.alignment.references, self.alignment.boxes
        persons, partner = self.alignment.persons, self.alignment.partner
        own = np.zeros((len(persons) + 1, self.classes), dtype=bool)  # the last row is for boxes without a person
        own[persons.of_row[self.truth], self.truth_label] = True
        assert predictions.score is not None
        absent_box, _ = self._absent_scores()
        matrix = np.full((len(boxes), self.classes), -np.inf)
        kept = boxes.copy == 0
        matrix[boxes.of_row[kept], self.place[predictions.action[kept]]] = predictions.score[kept]
        lost = self._lost_persons()
        matrix = np.concatenate([matrix, np.full((lost.size, self.classes), -np.inf)])
        video = np.concatenate([predictions.video[boxes.first], references.video[persons.first[lost]]])
        positive = np.concatenate([own[partner], own[lost]]).ravel()
        label = np.tile(np.arange(self.classes), len(matrix))
        video = np.repeat(video, self.classes)
        return Targets(video, label, matrix.ravel(), positive, absent_box.size, len(matrix))

    def _lost_persons(self) -> np.ndarray:
        """Return the labeled persons without a predicted box."""
        return np.setdiff1d(np.arange(len(self.alignment.persons)), self.alignment.partner)

    def _absent_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the boxes and classes without a score."""
        boxes, predictions = self.alignment.boxes, self.alignment.predictions
        if int((boxes.copy == 0).sum()) == len(boxes) * self.classes:
            none = np.empty(0, dtype=np.int64)
            return none, none
        there = np.zeros((len(boxes), self.classes), dtype=bool)
        there[boxes.of_row, self.place[predictions.action]] = True
        if self.strict and self.classes > 1 and there.all(axis=1).any():
            box = int((~there.all(axis=1)).argmax())
            raise predictions.error(
                f"{int((~there[box]).sum())} of {self.classes} classes have no score for this box, others have all "
                f"({int((~there).sum())} scores are missing in all)",
                "give every score, or pass missing='zero' to count them as not predicted",
                row=int(boxes.first[box]),
            )
        absent_box, absent_label = np.nonzero(~there)
        return absent_box, absent_label
