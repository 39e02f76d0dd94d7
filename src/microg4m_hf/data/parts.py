"""Splits in parts: small objects that travel to worker processes and give their rows there."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pyarrow as pa

from ..errors import DataError
from .request import Request
from .rows import rows_of
from .whereabouts import Whereabouts

# More parts let more processes share a split; the rows of a part are one batch of the Arrow file.
PARTS = 16


@dataclass(frozen=True)
class Part:
    """A run of rows of one split."""

    request: Request
    whereabouts: Whereabouts
    split: str
    index: int

    def table(self) -> pa.Table:
        rows = _rows(self.request, self.whereabouts)[self.split]
        start, stop = (rows.num_rows * bound // PARTS for bound in (self.index, self.index + 1))
        return rows.slice(start, stop - start)


def parts_of(request: Request, whereabouts: Whereabouts, split: str) -> list[Part]:
    """All parts of a split, in the order of its rows."""
    return [Part(request, whereabouts, split, index) for index in range(PARTS)]


def filled_splits(request: Request, whereabouts: Whereabouts) -> list[str]:
    """The splits that have rows; reads the release, whose parts are then at hand here and in forked processes."""
    filled = [split for split, rows in _rows(request, whereabouts).items() if rows.num_rows]
    if not filled:
        of_domain = f" in the domain {request.domain!r}" if request.domain else ""
        raise DataError(f"the release has nothing for {request.config}{of_domain}", file=whereabouts.root)
    return filled


# The fingerprint is part of the key, so changed files are read again. Two: a config and the one it is compared with.
_rows = functools.lru_cache(maxsize=2)(rows_of)
