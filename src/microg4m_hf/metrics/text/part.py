"""What one text metric hands over: scores, the same per item, statistics to sum, and what the recipe must name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Part:
    """The share of one or several metrics in a result."""

    scores: dict[str, float] = field(default_factory=dict)
    items: dict[str, np.ndarray] = field(default_factory=dict)
    statistics: dict[str, np.ndarray] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def add_mean(self, name: str, items: np.ndarray) -> None:
        """Add a metric whose corpus score is the mean of its items.

        >>> part = Part()
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
    def merged(cls, parts: Iterable[Part]) -> Part:
        """All parts in one."""
        whole = cls()
        for part in parts:
            whole.scores |= part.scores
            whole.items |= part.items
            whole.statistics |= part.statistics
            whole.settings |= part.settings
        return whole
