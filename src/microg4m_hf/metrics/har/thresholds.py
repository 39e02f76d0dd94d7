"""Tune one threshold per class for F1 on validation data, and refuse it on the data it was tuned on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import PredictionError, list_some
from .alignment import align, refuse_no_match
from .checks import resolve_classes
from .inputs import listed_ids, read_rows
from .rows import ActionRows
from .statistics import DEFAULT_THRESHOLD as DEFAULT, sigmoid
from .targets import BoxTargets


@dataclass(frozen=True)
class TunedThresholds(Mapping[int, float]):
    """Probability thresholds per action id, with the clips they were tuned on."""

    values_of: dict[int, float]
    clips: frozenset[str]
    default: float = DEFAULT

    def __getitem__(self, action: int) -> float:
        return self.values_of.get(action, self.default)

    def __iter__(self) -> Iterator[int]:
        return iter(self.values_of)

    def __len__(self) -> int:
        return len(self.values_of)

    def refuse(self, references: ActionRows) -> None:
        """Raise ``PredictionError`` when references share clips with the data that the thresholds were tuned on."""
        shared = sorted(self.clips & set(references.videos))
        if shared:
            raise PredictionError(
                f"the thresholds were tuned on {len(shared)} of the {len(references.videos)} clips to be scored "
                f"({list_some(shared)}); tune them on the validation split and score the test split"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values for ``from_dict``."""
        return {
            "thresholds": {str(action): value for action, value in self.values_of.items()},
            "default": self.default,
            "clips": sorted(self.clips),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> TunedThresholds:
        """Build thresholds from the result of ``as_dict``.

        >>> TunedThresholds.from_dict({"thresholds": {"12": 0.25}, "clips": ["a_001"]})[12]
        0.25
        """
        values = {int(action): float(value) for action, value in stored["thresholds"].items()}
        return cls(values, frozenset(stored["clips"]), float(stored.get("default", DEFAULT)))


def tune_thresholds(
    predictions: Any,
    references: Any,
    *,
    classes: int | Sequence[int] | None = None,
    scores_are: str | None = None,
    default: float = DEFAULT,
    missing: str = "error",
    iou: float = 0.5,
) -> TunedThresholds:
    """Find the threshold of best F1 for each class that occurs. Use validation data only.

    Each person counts with that person's own labels. The threshold lies halfway between the lowest score that counts
    as predicted and the next one below; of equally good ones the nearest to ``default`` is taken.

    Args:
        predictions: Predictions in any form that ``read_rows`` lists.
        references: The labeled boxes.
        classes: 50, 80 or a list of action ids, as for ``har_scores``.
        scores_are: ``"logits"`` or ``"probabilities"``; by default scores outside 0..1 mean logits.
        default: Threshold of classes without a label.
        missing: ``"error"``, ``"zero"`` or ``"drop"``, as for ``har_scores``.
        iou: Overlap from which a box is a person's.

    Returns:
        The thresholds, for ``har_scores(..., protocol="instance", threshold=...)``.

    Raises:
        PredictionError: The predictions or options cannot be used.
        DataError: The references cannot be used.

    Example:
        >>> truth = [("a_001", 1, 0, 0, 1, 1, 12), ("b_001", 1, 0, 0, 1, 1, 14)]
        >>> scores = [("a_001", 1, 0, 0, 1, 1, 12, 0.3), ("b_001", 1, 0, 0, 1, 1, 12, 0.1)]
        >>> tune_thresholds(scores, truth, scores_are="probabilities")[12]
        0.2
    """
    rows = read_rows(predictions, action_ids=listed_ids(classes))
    columns = resolve_classes(rows, classes)
    alignment = align(rows, read_rows(references, references=True), columns, iou=iou, missing=missing)
    refuse_no_match(alignment, iou)
    _, label, score, positive, _, _ = BoxTargets(alignment, columns, strict=missing == "error").by_person()
    if are_logits(rows, scores_are):
        score = np.where(np.isfinite(score), sigmoid(score), 0.0)
    values = {}
    for index, action in enumerate(columns):
        own = label == index
        if positive[own].any():
            values[int(action)] = best_threshold(score[own], positive[own], default)
    return TunedThresholds(values, frozenset(alignment.references.videos), default)


def best_threshold(probability: np.ndarray, positive: np.ndarray, default: float = DEFAULT) -> float:
    """Return the threshold with the highest F1.

    >>> best_threshold(np.array([0.9, 0.4, 0.2]), np.array([True, True, False])).__round__(3)
    0.3
    """
    value, group = np.unique(np.where(np.isfinite(probability), probability, 0.0), return_inverse=True)
    hits = np.cumsum(np.bincount(group, positive, minlength=value.size)[::-1])[::-1]
    predicted = np.cumsum(np.bincount(group, minlength=value.size)[::-1])[::-1]
    f1 = 2 * hits / (predicted + positive.sum())
    below = np.r_[0.0, value[:-1]]
    cut = (value + below) / 2
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    # Prefer the default itself, where it separates the same boxes.
    same = best[(below[best] < default) & (default <= value[best])]
    if same.size:
        return float(default)
    return float(cut[best[np.argmin(np.abs(cut[best] - default))]])


def are_logits(predictions: ActionRows, scores_are: str | None) -> bool:
    """Return whether scores need a sigmoid: as ``scores_are`` says, by default when any lies outside 0..1.

    >>> are_logits(read_rows([("a_001", 1, 0, 0, 1, 1, 12, -2.5)]), None)
    True
    """
    if scores_are not in {None, "logits", "probabilities"}:
        raise PredictionError(f"scores_are={scores_are!r} is not known; use 'logits' or 'probabilities'")
    assert predictions.score is not None
    outside = bool(((predictions.score < 0) | (predictions.score > 1)).any())
    if scores_are == "probabilities" and outside:
        raise PredictionError(
            f"{predictions.origin.name}: scores from {predictions.score.min():g} to {predictions.score.max():g} are "
            "not probabilities; pass scores_are='logits'"
        )
    return outside if scores_are is None else scores_are == "logits"
