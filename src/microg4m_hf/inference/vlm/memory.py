"""Memory that does not suffice: the batch is halved, and stays small."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ...runtime import is_out_of_memory

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class BatchSizeHalver:
    """Does work in batches of at most ``size`` rows, and of half as many whenever memory runs out.

    >>> [done for _, done in BatchSizeHalver(4).over([1, 2, 3, 4, 5, 6], 2, lambda batch, rows: sum(batch))]
    [3, 7, 11]
    """

    def __init__(self, size: int) -> None:
        self.size = max(1, size)

    def over(
        self, items: Sequence[Item], weight: int, do: Callable[[Sequence[Item], int], Answer]
    ) -> Iterator[tuple[Sequence[Item], Answer | None]]:
        """Batches with what ``do(batch, rows)`` gave for them, or None where a single row did not fit.

        An item stands for ``weight`` rows. One item may be more than fits: then ``do`` is called with it and with
        the number of rows that it may work on at once.
        """
        start = 0
        while start < len(items):
            batch = items[start : start + max(1, self.size // weight)]
            rows = min(self.size, len(batch) * weight)
            answer, fits = None, True
            try:
                answer = do(batch, rows)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                fits = False
            if not fits:  # outside of `except`, where the error still holds on to the tensors
                _free()
                if rows > 1:
                    self.size = rows // 2
                    warnings.warn(f"out of memory with {rows} at once; going on with {self.size}", stacklevel=2)
                    continue
            yield batch, answer
            start += len(batch)


def _free() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
