"""Everything a HAR score needs, computed once: scores, resamples and paired tests are all derived from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...clip_ids import source_of
from ...taxonomy import NUM_AVA_CLASSES
from ..bootstrap import cluster_codes
from .alignment import Alignment
from .average_precision import tied, weighted_precisions
from .classification import Decisions, auroc, counts, decisions, f1_recall_precision, weighted_auroc
from .frame_ap import FrameAP, evaluate, mean_defined
from .rows import ActionRows, fail, small_codes

PROTOCOLS = ("paper", "instance")
Thresholds = float | Mapping[int, float]


@dataclass(frozen=True)
class ClassScores:
    """Scores per class, ``(classes,)`` or ``(resamples, classes)``."""

    ap: np.ndarray
    f1: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    auroc: np.ndarray

    def macro(self, chosen: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Means over classes: of AP and AUROC where defined, of F1, recall and precision over all."""
        pick = slice(None) if chosen is None else chosen
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "map": _mean_defined(self.ap[..., pick]),
                "f1": self.f1[..., pick].mean(axis=-1),
                "recall": self.recall[..., pick].mean(axis=-1),
                "precision": self.precision[..., pick].mean(axis=-1),
                "auroc": _mean_defined(self.auroc[..., pick]),
            }


@dataclass(frozen=True)
class Statistics:
    """One system on one set of references under one protocol."""

    classes: tuple[int, ...]
    scored: np.ndarray  # per class: it takes part in mAP
    sources: list[str]
    decisions: Decisions
    counts: np.ndarray  # (3, sources, classes): hits, predicted, positive
    frame_ap: FrameAP  # over the scored classes
    ranked_source: np.ndarray  # per ranked row of the map
    label_counts: np.ndarray  # (sources, scored classes): labelled boxes
    expected_ties: bool
    boxes: int
    tied_boxes: float  # share of boxes with most of their scores equal to another box's
    absent: int  # class scores that were not given and count as lowest

    def per_class(self) -> ClassScores:
        """The scores of the data as they are."""
        f1, recall, precision = f1_recall_precision(*self.counts.sum(axis=1))
        return ClassScores(self._spread(self.frame_ap.ap), f1, recall, precision, auroc(self.decisions))

    def resample(self, weights: np.ndarray, seed: int = 0) -> ClassScores:
        """The scores in each resample of sources; ``weights`` is ``(resamples, sources)``."""
        f1, recall, precision = f1_recall_precision(*(weights @ table for table in self.counts))
        ap = weighted_precisions(
            self.frame_ap.ranking,
            self.ranked_source,
            self.label_counts,
            weights,
            shuffle_seed=seed if self.expected_ties else None,
        )
        return ClassScores(self._spread(ap), f1, recall, precision, weighted_auroc(self.decisions, weights))

    def _spread(self, ap: np.ndarray) -> np.ndarray:
        full = np.full((*ap.shape[:-1], len(self.classes)), np.nan)
        full[..., self.scored] = ap
        return full


def statistics(
    aligned: Alignment,
    classes: Sequence[int],
    map_classes: Sequence[int],
    *,
    protocol: str,
    threshold: Thresholds,
    iou: float,
    logits: bool,
    strict: bool,
) -> Statistics:
    """Count and rank once. ``threshold`` applies to raw scores (paper) or probabilities (instance)."""
    scored = np.isin(np.asarray(classes), np.asarray(map_classes))
    ids = tuple(int(action) for action, used in zip(classes, scored, strict=True) if used)
    predictions, references = aligned.predictions, aligned.references
    box_of_row = aligned.boxes.of_row
    if protocol == "instance":
        once = np.flatnonzero(aligned.boxes.copy == 0)
        predictions, box_of_row = predictions.take(once), box_of_row[once]
        references = _distinct_labels(references, aligned)
    frame_ap = evaluate(
        predictions,
        references,
        ids,
        iou=iou,
        ties="expected" if protocol == "instance" else "published",
        best_score_first=protocol == "instance",
    )
    place = np.full(NUM_AVA_CLASSES + 1, -1) if max(classes) <= NUM_AVA_CLASSES else np.full(max(classes) + 1, -1)
    place[list(classes)] = np.arange(len(classes))
    rows = BoxTargets(aligned, place, len(classes))
    if protocol == "paper":
        video, label, score, positive, absent, boxes = rows.by_frame(strict)
        cut = _cuts(threshold, classes)[label]
        predicted = score >= cut
    else:
        video, label, score, positive, absent, boxes = rows.by_person(strict)
        cut = _cuts(threshold, classes)[label]
        predicted = (sigmoid(score) if logits else score) >= cut
    predicted &= np.isfinite(score)
    sources, source_of_video = cluster_codes(source_of(name) for name in aligned.predictions.videos)
    ranked = decisions(label, score, positive, predicted, source_of_video[video], len(classes))
    slot = np.full(place.size, -1)
    slot[list(ids)] = np.arange(len(ids))
    counted = np.flatnonzero(slot[np.minimum(references.action, place.size - 1)] >= 0)
    label_counts = np.bincount(
        source_of_video[references.video[counted]] * len(ids) + slot[references.action[counted]],
        minlength=len(sources) * len(ids),
    ).reshape(len(sources), len(ids))
    return Statistics(
        tuple(classes),
        scored,
        sources,
        ranked,
        counts(ranked, len(sources)),
        frame_ap,
        source_of_video[predictions.video[frame_ap.row]],
        label_counts,
        protocol == "instance",
        boxes,
        _tied_boxes(frame_ap, box_of_row),
        absent,
    )


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The sigmoid, without overflow.

    >>> sigmoid(np.array([0.0, -1e4])).tolist()
    [0.5, 0.0]
    """
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small))


def _mean_defined(values: np.ndarray) -> np.ndarray:
    if values.ndim == 1:
        return np.asarray(mean_defined(values))
    defined = ~np.isnan(values)
    return np.where(defined, values, 0.0).sum(axis=-1) / defined.sum(axis=-1)


def _tied_boxes(frame_ap: FrameAP, box_of_row: np.ndarray) -> float:
    """Share of boxes more than half of whose scores are tied: those a model could not tell apart."""
    box = box_of_row[frame_ap.row]
    scores = np.bincount(box)
    ties = np.bincount(box[tied(frame_ap.ranking)], minlength=scores.size)
    return float((2 * ties > scores)[scores > 0].mean()) if box.size else 0.0


def _cuts(threshold: Thresholds, classes: Sequence[int]) -> np.ndarray:
    if isinstance(threshold, Mapping):
        return np.array([float(threshold[action]) for action in classes])
    return np.full(len(classes), float(threshold))


def _distinct_labels(references: ActionRows, aligned: Alignment) -> ActionRows:
    """Each label of each person once."""
    item = aligned.persons.of_row * 4096 + references.action
    return references.take(np.sort(np.unique(item, return_index=True)[1]))


class BoxTargets:
    """One row per box and class, with what it ought to say."""

    def __init__(self, aligned: Alignment, place: np.ndarray, classes: int) -> None:
        self.aligned, self.place, self.classes = aligned, place, classes
        action = np.minimum(aligned.references.action, place.size - 1)
        label = place[action]
        label[aligned.references.action >= place.size] = -1
        self.truth = np.flatnonzero(label >= 0)
        self.truth_label = label[self.truth]

    def by_frame(self, strict: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int]:
        """Every row as given; a box is positive for what any person in its frame does."""
        predictions, references, boxes = self.aligned.predictions, self.aligned.references, self.aligned.boxes
        frame, frames = small_codes(references.key, predictions.key)
        union = np.zeros((max(int(frame.max()), int(frames.max())) + 1, self.classes), dtype=bool)
        union[frame[self.truth], self.truth_label] = True
        label = self.place[predictions.action]
        video, score = predictions.video, predictions.score
        assert score is not None
        absent_box, absent_label = self._absent(strict)
        lost = self._lost()
        first = self.aligned.persons.first[lost]
        label = np.concatenate([label, absent_label, np.tile(np.arange(self.classes), lost.size)])
        video = np.concatenate(
            [video, video[boxes.first[absent_box]], np.repeat(references.video[first], self.classes)]
        )
        frames = np.concatenate([frames, frames[boxes.first[absent_box]], np.repeat(frame[first], self.classes)])
        score = np.concatenate([score, np.full(absent_box.size + lost.size * self.classes, -np.inf)])
        count = int(boxes.copies.sum()) + lost.size
        return video, label, score, union[frames, label], absent_box.size, count

    def by_person(self, strict: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int]:
        """One row per box and class; a box is positive for what its own person does, a lost person scores lowest."""
        predictions, references, boxes = self.aligned.predictions, self.aligned.references, self.aligned.boxes
        persons, partner = self.aligned.persons, self.aligned.partner
        own = np.zeros((len(persons) + 1, self.classes), dtype=bool)  # the last row stands for nobody
        own[persons.of_row[self.truth], self.truth_label] = True
        assert predictions.score is not None
        absent_box, _ = self._absent(strict)
        matrix = np.full((len(boxes), self.classes), -np.inf)
        kept = boxes.copy == 0
        matrix[boxes.of_row[kept], self.place[predictions.action[kept]]] = predictions.score[kept]
        lost = np.setdiff1d(np.arange(len(persons)), partner)
        matrix = np.concatenate([matrix, np.full((lost.size, self.classes), -np.inf)])
        video = np.concatenate([predictions.video[boxes.first], references.video[persons.first[lost]]])
        positive = np.concatenate([own[partner], own[lost]])
        label = np.tile(np.arange(self.classes), len(matrix))
        return np.repeat(video, self.classes), label, matrix.ravel(), positive.ravel(), absent_box.size, len(matrix)

    def _lost(self) -> np.ndarray:
        """Persons to count as not predicted: those missing from predictions for the labelled boxes."""
        if not self.aligned.on_labeled_boxes:
            return np.empty(0, dtype=np.int64)
        return np.setdiff1d(np.arange(len(self.aligned.persons)), self.aligned.partner)

    def _absent(self, strict: bool) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and classes without a score. Where some box has all classes, gaps are an error."""
        boxes, predictions = self.aligned.boxes, self.aligned.predictions
        if int((boxes.copy == 0).sum()) == len(boxes) * self.classes:
            none = np.empty(0, dtype=np.int64)
            return none, none
        there = np.zeros((len(boxes), self.classes), dtype=bool)
        there[boxes.of_row, self.place[predictions.action]] = True
        if strict and self.classes > 1 and there.all(axis=1).any():
            box = int((~there.all(axis=1)).argmax())
            lacking = int((~there[box]).sum())
            raise fail(
                predictions.where(int(boxes.first[box])),
                f"{lacking} of {self.classes} classes have no score for this box, others have all "
                f"({int((~there).sum())} scores are missing in all)",
                "give every score, or pass missing='zero' to count them as not predicted",
            )
        absent_box, absent_label = np.nonzero(~there)
        return absent_box, absent_label
