"""The statistics of one system, counted and ranked once: scores, resamples and paired tests are derived from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...clip_ids import source_of
from ...errors import PredictionError
from ...settings import Settings, setting
from ...taxonomy import ACTION_IDS, NUM_AVA_CLASSES
from ..jackknife import cluster_codes
from .alignment import Alignment
from .average_precision import weighted_precisions
from .checks import check_classes, check_policies
from .classification import Decisions, auroc, count_decisions, f1_recall_precision, sort_decisions, weighted_auroc
from .frame_ap import FrameAP, evaluate_frames, mean_defined
from .matching import IOU
from .targets import BoxTargets

PROTOCOLS = ("paper", "instance")
SCORE_KINDS = ("logits", "probabilities")
DEFAULT_THRESHOLD = 0.5
Thresholds = float | Mapping[int, float]


@dataclass(frozen=True)
class HarSettings(Settings, error=PredictionError):
    """How to score; the fields are keywords of ``har_scores``."""

    protocol: str = "paper"
    threshold: Thresholds | None = None
    scores_are: str | None = None
    classes: int | Sequence[int] | None = None
    iou: float = setting(IOU, above=0, at_most=1)
    missing: str = "error"
    unknown: str = "error"

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise PredictionError(f"protocol={self.protocol!r} is not known; use 'paper' or 'instance'")
        if isinstance(self.threshold, Mapping) and self.protocol == "paper":
            raise PredictionError(
                "protocol='paper' has one threshold on raw scores; use protocol='instance' with tuned ones"
            )
        if isinstance(self.threshold, (int, float)) and not math.isfinite(self.threshold):
            raise PredictionError(f"threshold={self.threshold} is not finite; give a number, 0.5 as published")
        if self.scores_are not in (None, *SCORE_KINDS):
            raise PredictionError(f"scores_are={self.scores_are!r} is not known; use 'logits' or 'probabilities'")
        check_policies(self.missing, self.unknown)
        if self.classes is not None:
            check_classes(self.classes)
        super().__post_init__()

    @property
    def cut(self) -> Thresholds:
        """The threshold in force, for raw scores (paper) or probabilities (instance)."""
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold


@dataclass(frozen=True)
class ClassScores:
    """Scores per class, ``(classes,)`` or ``(resamples, classes)``."""

    ap: np.ndarray
    f1: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    auroc: np.ndarray

    def macro(self, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Average over all classes or those in ``mask``: AP and AUROC where defined, the others everywhere."""
        own = slice(None) if mask is None else mask
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "map": _mean_defined(self.ap[..., own]),
                "f1": self.f1[..., own].mean(axis=-1),
                "recall": self.recall[..., own].mean(axis=-1),
                "precision": self.precision[..., own].mean(axis=-1),
                "auroc": _mean_defined(self.auroc[..., own]),
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
    ranked_source: np.ndarray  # per ranked row of `frame_ap`
    label_counts: np.ndarray  # (sources, scored classes): labeled boxes
    expected_ties: bool
    boxes: int
    tied_boxes: float  # share of boxes with most of their scores equal to another box's
    absent: int  # class scores that were not given and count as lowest

    def per_class(self) -> ClassScores:
        """Compute the scores of the data as they are."""
        f1, recall, precision = f1_recall_precision(*self.counts.sum(axis=1))
        return ClassScores(self._of_all_classes(self.frame_ap.ap), f1, recall, precision, auroc(self.decisions))

    def resample(self, weights: np.ndarray, seed: int = 0) -> ClassScores:
        """Compute the scores with each row of ``weights``, which say how often every source counts."""
        f1, recall, precision = f1_recall_precision(*(weights @ table for table in self.counts))
        ap = weighted_precisions(
            self.frame_ap.ranking,
            self.ranked_source,
            self.label_counts,
            weights,
            shuffle_seed=seed if self.expected_ties else None,
        )
        return ClassScores(self._of_all_classes(ap), f1, recall, precision, weighted_auroc(self.decisions, weights))

    @property
    def films_of_class(self) -> np.ndarray:
        """Per class: the number of sources with a labeled box, 0 for classes that the mAP leaves out."""
        films = np.zeros(len(self.classes), dtype=np.int64)
        films[self.scored] = (self.label_counts > 0).sum(axis=0)
        return films

    def _of_all_classes(self, ap: np.ndarray) -> np.ndarray:
        full = np.full((*ap.shape[:-1], len(self.classes)), np.nan)
        full[..., self.scored] = ap
        return full


def compute_statistics(
    alignment: Alignment, classes: Sequence[int], settings: HarSettings, *, logits: bool
) -> Statistics:
    """Count and rank once. Of AVA's 80 classes, the mAP averages over the 50."""
    instance, threshold = settings.protocol == "instance", settings.cut
    scored = np.isin(np.asarray(classes), ACTION_IDS)
    if not scored.any():
        scored[:] = True
    ids = tuple(int(action) for action, used in zip(classes, scored, strict=True) if used)
    predictions, references = alignment.predictions, alignment.references
    box_of_row = alignment.boxes.of_row
    if instance:
        once = np.flatnonzero(alignment.boxes.copy == 0)
        predictions, box_of_row = predictions.take(once), box_of_row[once]
        # Each label of each person counts once.
        label_of_person = alignment.persons.of_row * (NUM_AVA_CLASSES + 1) + references.action
        references = references.take(np.sort(np.unique(label_of_person, return_index=True)[1]))
    ties = "expected" if instance else "published"
    frame_ap = evaluate_frames(predictions, references, ids, iou=settings.iou, ties=ties, best_score_first=instance)
    targets = BoxTargets(alignment, classes, strict=settings.missing == "error")
    video, label, score, positive, absent, boxes = targets.by_person() if instance else targets.by_frame()
    cut = np.array([threshold[action] if isinstance(threshold, Mapping) else threshold for action in classes], float)
    predicted = (sigmoid(score) if logits and instance else score) >= cut[label]
    predicted &= np.isfinite(score)
    sources, source_of_video = cluster_codes(source_of(name) for name in alignment.predictions.videos)
    decisions = sort_decisions(label, score, positive, predicted, source_of_video[video], len(classes))
    slot = np.full(targets.place.size, -1)
    slot[list(ids)] = np.arange(len(ids))
    counted = np.flatnonzero(slot[references.action] >= 0)
    label_counts = np.bincount(
        source_of_video[references.video[counted]] * len(ids) + slot[references.action[counted]],
        minlength=len(sources) * len(ids),
    ).reshape(len(sources), len(ids))
    return Statistics(
        tuple(classes),
        scored,
        sources,
        decisions,
        count_decisions(decisions, len(sources)),
        frame_ap,
        source_of_video[predictions.video[frame_ap.row]],
        label_counts,
        instance,
        boxes,
        _tied_boxes(frame_ap, box_of_row),
        absent,
    )


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Turn logits into probabilities, without overflow.

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
    """Return the share of boxes more than half of whose scores are tied: those a model cannot tell apart."""
    box = box_of_row[frame_ap.row]
    scores = np.bincount(box)
    ties = np.bincount(box[frame_ap.ranking.tied], minlength=scores.size)
    return float((2 * ties > scores)[scores > 0].mean()) if box.size else 0.0
