"""What every text metric takes and returns: checked texts and a ``MetricResult``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import PredictionError, list_some, shorten


@dataclass
class MetricResult:
    """The scores of one or several metrics.

    ``items`` holds one value per item, ``statistics`` the integers from which a corpus score is summed, and
    ``settings`` what the signature must name.
    """

    scores: dict[str, float] = field(default_factory=dict)
    items: dict[str, np.ndarray] = field(default_factory=dict)
    statistics: dict[str, np.ndarray] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def add_mean(self, name: str, items: np.ndarray) -> None:
        """Add a metric whose corpus score is the mean of its items.

        Example:
            >>> result = MetricResult()
            >>> result.add_mean("cider", np.array([1.0, 3.0]))
            >>> result.scores
            {'cider': 2.0}
        """
        self.items[name] = items
        self.scores[name] = float(np.mean(items))

    def zero_items(self, indices: Sequence[int]) -> None:
        """Score items without a prediction as zero, even where an empty text would score more (sentence similarity)."""
        if not len(indices):
            return
        for name, items in self.items.items():
            if name not in self.statistics and not name.startswith("bleu_"):
                items[list(indices)] = 0.0
                self.scores[name] = float(np.mean(items))

    def update(self, other: MetricResult) -> None:
        """Add the metrics of another result."""
        for field_name in ("scores", "items", "statistics", "settings"):
            getattr(self, field_name).update(getattr(other, field_name))


def check_texts(
    predictions: Sequence[Any], references: Sequence[Any], *, on_empty: str, ids: Sequence[Any] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return the predictions and a list of references for each, or raise an error that counts the faulty items.

    Example:
        >>> check_texts(["a"], ["b"], on_empty="error")
        (['a'], [['b']])
    """
    for role, value in (("predictions", predictions), ("references", references)):
        if isinstance(value, (str, bytes, dict)):
            raise PredictionError(f"{role} are one {type(value).__name__}; give a list of texts, one per item")
    predictions, references = list(predictions), list(references)
    if len(predictions) != len(references):
        raise PredictionError(
            f"{len(predictions)} predictions for {len(references)} references; give two lists of equal length in the "
            "same order, or join them by id with caption_scores / vqa_scores"
        )
    if not predictions:
        raise PredictionError("nothing to score: both lists are empty; give a prediction and its reference")
    if ids is not None and len(ids) != len(predictions):
        raise PredictionError(f"{len(ids)} ids for {len(predictions)} predictions; give one id per item")
    names = range(len(predictions)) if ids is None else ids

    wrong = find_non_strings(predictions)
    raise_if_any("predictions are not strings", wrong, predictions, names, "give '' for an answer that is empty")
    wrong = [index for index, value in enumerate(references) if not isinstance(value, str) and not _are_texts(value)]
    problem = "references are neither a string nor a list of strings"
    raise_if_any(problem, wrong, references, names, "give text or [text, …]")
    if on_empty == "error":
        hint = "on_empty='score' scores them as they are"
        raise_if_any("predictions are empty", find_empty(predictions), predictions, names, hint)
    return predictions, [[value] if isinstance(value, str) else list(value) for value in references]


def find_empty(texts: Sequence[str]) -> list[int]:
    """Return the indices of the texts without a word.

    Example:
        >>> find_empty(["a", "", " "])
        [1, 2]
    """
    return [index for index, text in enumerate(texts) if not text or text.isspace()]


def find_non_strings(values: Sequence[Any]) -> list[int]:
    """Return the indices of the values that are not strings."""
    return [index for index, value in enumerate(values) if not isinstance(value, str)]


def raise_if_any(problem: str, indices: Sequence[int], values: Sequence[Any], names: Sequence[Any], hint: str) -> None:
    """Raise an error that counts the faulty items and shows the first five; do nothing when there are none."""
    if not indices:
        return
    shown = list_some(f"{names[index]!r}: {shorten(values[index], 60)}" for index in indices)
    raise PredictionError(f"{len(indices)} of {len(values)} {problem}: {shown} ({hint})")


def _are_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and not find_non_strings(value)
