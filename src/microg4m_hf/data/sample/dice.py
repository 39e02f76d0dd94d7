"""Random draws that come out the same on every machine, Python and numpy."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A stream of draws named by words; equal words give equal draws for ever.

    Only ``random.Random(str)`` and its ``random()`` are used: Python promises those two across versions, unlike
    ``choice`` or ``shuffle``.

    >>> Dice("clip", 3).whole(1000) == Dice("clip", 3).whole(1000)
    True
    """

    def __init__(self, *words: object) -> None:
        self._stream = random.Random("/".join(str(word) for word in words))

    def unit(self) -> float:
        """A number from 0 up to, not including, 1."""
        return self._stream.random()

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.unit()

    def whole(self, count: int) -> int:
        """One of 0 .. count-1."""
        return int(self.unit() * count)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.whole(len(items))]

    def sign(self) -> int:
        return 1 if self.unit() < 0.5 else -1

    def shuffled(self, items: Sequence[T]) -> list[T]:
        left = list(items)
        return [left.pop(self.whole(len(left))) for _ in range(len(left))]
