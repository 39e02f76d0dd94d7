"""One threshold per class, chosen for F1 on validation data and refused on the data it was chosen on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import PredictionError
from .alignment import align
from .checks import listed, resolve_classes
from .inputs import read_rows
from .rows import ActionRows
from .statistics import BoxTargets, sigmoid

DEFAULT = 0.5


@dataclass(frozen=True)
class TunedThresholds(Mapping[int, float]):
    """Probability thresholds per action id, with the clips they were chosen on."""

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
        """Raise when references share clips with the data the thresholds were chosen on."""
        shared = sorted(self.clips & set(references.videos))
        if shared:
            raise PredictionError(
                f"the thresholds were tuned on {len(shared)} of the {len(references.videos)} clips to be scored "
                f"({listed(shared)}); tune them on the validation split and score the test split"
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` takes them back."""
        return {
            "thresholds": {str(action): value for action, value in self.values_of.items()},
            "default": self.default,
            "clips": sorted(self.clips),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> TunedThresholds:
        """Thresholds from what ``as_dict`` gave.

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
    """The threshold of best F1 for each class that occurs; others keep ``default``. Give validation data only.

    Each person counts with that person's own labels. The threshold lies half-way between the lowest score that
    counts as predicted and the next one below; of equally good ones the nearest to ``default`` is taken.

    >>> truth = [("a_001", 1, 0, 0, 1, 1, 12), ("b_001", 1, 0, 0, 1, 1, 14)]
    >>> scores = [("a_001", 1, 0, 0, 1, 1, 12, 0.3), ("b_001", 1, 0, 0, 1, 1, 12, 0.1)]
    >>> tune_thresholds(scores, truth, scores_are="probabilities")[12]
    0.2
    """
    given = read_rows(predictions)
    columns = resolve_classes(given, classes)
    aligned = align(given, read_rows(references, references=True), columns, iou=iou, missing=missing)
    place = np.full(max(columns) + 1, -1)
    place[list(columns)] = np.arange(len(columns))
    _, label, score, positive, _, _ = BoxTargets(aligned, place, len(columns)).by_person(strict=missing == "error")
    if are_logits(given, scores_are):
        score = np.where(np.isfinite(score), sigmoid(score), 0.0)
    chosen = {}
    for index, action in enumerate(columns):
        own = label == index
        if positive[own].any():
            chosen[int(action)] = best_threshold(score[own], positive[own], default)
    return TunedThresholds(chosen, frozenset(aligned.references.videos), default)


def best_threshold(probability: np.ndarray, positive: np.ndarray, default: float = DEFAULT) -> float:
    """The threshold with the highest F1.

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
    # The default itself, when it separates the same boxes.
    same = best[(below[best] < default) & (default <= value[best])]
    if same.size:
        return float(default)
    return float(cut[best[np.argmin(np.abs(cut[best] - default))]])


def are_logits(predictions: ActionRows, scores_are: str | None) -> bool:
    """Whether scores need a sigmoid: as said, else they do when any lies outside 0..1.

    >>> are_logits(read_rows([("a_001", 1, 0, 0, 1, 1, 12, -2.5)]), None)
    True
    """
    if scores_are not in {None, "logits", "probabilities"}:
        raise PredictionError(f"scores_are={scores_are!r} is not known; use 'logits' or 'probabilities'")
    assert predictions.score is not None
    outside = bool(((predictions.score < 0) | (predictions.score > 1)).any())
    if scores_are == "probabilities" and outside:
        raise PredictionError(
            f"{predictions.name}: scores from {predictions.score.min():g} to {predictions.score.max():g} are no "
            "probabilities; pass scores_are='logits'"
        )
    return outside if scores_are is None else scores_are == "logits"
