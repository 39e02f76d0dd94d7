"""What one text metric hands over: scores, the same per item, statistics to sum, and what the recipe must name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import PredictionError


@dataclass
class MetricResult:
    """The share of one or several metrics in a result."""

    scores: dict[str, float] = field(default_factory=dict)
    items: dict[str, np.ndarray] = field(default_factory=dict)
    statistics: dict[str, np.ndarray] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def add_mean(self, name: str, items: np.ndarray) -> None:
        """Add a metric whose corpus score is the mean of its items.

        >>> part = MetricResult()
        >>> part.add_mean("cider", np.array([1.0, 3.0]))
        >>> part.scores
        {'cider': 2.0}
        """
        self.items[name] = items
        self.scores[name] = float(np.mean(items))

    def set_zero(self, places: Sequence[int]) -> None:
        """Items without a prediction score zero, also where the empty text would not (sentence similarity)."""
        if not len(places):
            return
        for name, items in self.items.items():
            if name not in self.statistics and not name.startswith("bleu_"):
                items[list(places)] = 0.0
                self.scores[name] = float(np.mean(items))

    @classmethod
    def merge(cls, parts: Iterable[MetricResult]) -> MetricResult:
        """All parts in one."""
        whole = cls()
        for part in parts:
            whole.scores |= part.scores
            whole.items |= part.items
            whole.statistics |= part.statistics
            whole.settings |= part.settings
        return whole


# Whether two lists can be scored against each other, before anything is computed.


def checked_texts(
    predictions: Sequence[Any], references: Sequence[Any], *, on_empty: str, ids: Sequence[Any] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Predictions and, for each, a list of references; or an error that counts and names what is wrong.

    >>> checked_texts(["a"], ["b"], on_empty="error")
    (['a'], [['b']])
    """
    for name, value in (("predictions", predictions), ("references", references)):
        if isinstance(value, (str, bytes, dict)):
            raise PredictionError(f"{name} must be a list of texts, one per item; given: one {type(value).__name__}")
    said, meant = list(predictions), list(references)
    if len(said) != len(meant):
        raise PredictionError(
            f"{len(said)} predictions for {len(meant)} references; give two lists of equal length in the same order, "
            "or join them by id with caption_scores / vqa_scores"
        )
    if not said:
        raise PredictionError("nothing to score: both lists are empty")
    if ids is not None and len(ids) != len(said):
        raise PredictionError(f"{len(ids)} ids for {len(said)} predictions; give one id per item")
    names = range(len(said)) if ids is None else ids

    refuse("predictions are not strings", _not_texts(said), said, names, "give '' for an answer that is empty")
    wrong = [index for index, entry in enumerate(meant) if not isinstance(entry, str) and not _are_texts(entry)]
    refuse("references are neither a string nor a list of strings", wrong, meant, names, "give text or [text, …]")
    if on_empty == "error":
        refuse("predictions are empty", empty_places(said), said, names, "on_empty='score' scores them as they are")
    return said, [[entry] if isinstance(entry, str) else list(entry) for entry in meant]


def empty_places(texts: Sequence[str]) -> list[int]:
    """Where a text holds no word.

    >>> empty_places(["a", "", " "])
    [1, 2]
    """
    return [index for index, text in enumerate(texts) if not text or text.isspace()]


def refuse(what: str, places: Sequence[int], values: Sequence[Any], names: Sequence[Any], remedy: str) -> None:
    """Raise with the number of faulty items and the first of them; do nothing when there are none."""
    if not places:
        return
    shown = ", ".join(f"{names[place]!r}: {_short(values[place])}" for place in places[:5])
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    raise PredictionError(f"{len(places)} of {len(values)} {what}: {shown}{more} ({remedy})")


def _are_texts(entry: Any) -> bool:
    return isinstance(entry, (list, tuple)) and len(entry) > 0 and not _not_texts(entry)


def _not_texts(values: Sequence[Any]) -> list[int]:
    return [index for index, value in enumerate(values) if not isinstance(value, str)]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
