"""Splits in parts: small objects that travel to worker processes and give their rows there."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

import pyarrow as pa

from ..errors import DataError
from .request import Request
from .rows import Rows, rows_of
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
        rows = read(self.request, self.whereabouts).tables[self.split]
        start, stop = (rows.num_rows * bound // PARTS for bound in (self.index, self.index + 1))
        return rows.slice(start, stop - start)


def parts_of(request: Request, whereabouts: Whereabouts, split: str) -> list[Part]:
    """All parts of a split, in the order of its rows."""
    return [Part(request, whereabouts, split, index) for index in range(PARTS)]


# The fingerprint is part of the key, so changed files are read again. Two: a config and the one it is compared with.
@functools.lru_cache(maxsize=2)
def read(request: Request, whereabouts: Whereabouts) -> Rows:
    """The rows, read once in a process: all parts take theirs from them, and processes forked later have them too."""
    rows = rows_of(request, whereabouts)
    if not any(table.num_rows for table in rows.tables.values()):
        of_domain = f" in the domain {request.domain!r}" if request.domain else ""
        raise DataError(f"the release has nothing for {request.config}{of_domain}", file=whereabouts.root)
    if rows.left_out:
        warnings.warn(rows.left_out, UserWarning, stacklevel=2)
    return rows
