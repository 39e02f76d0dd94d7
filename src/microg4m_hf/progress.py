"""Progress bars for long work, on the main process only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def is_main_process() -> bool:
    """Whether this process may print; launchers number their processes in ``RANK``.

    >>> is_main_process()
    True
    """
    return os.environ.get("RANK", "0") == "0"


def progress(items: Iterable[T], what: str, *, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Iterate with a bar on standard error; silent on other ranks and where nobody watches.

    >>> list(progress([1, 2], "counting"))
    [1, 2]
    """
    from tqdm import tqdm

    quiet = not is_main_process() or not sys.stderr.isatty()
    yield from tqdm(items, desc=what, total=total, unit=unit, disable=quiet, leave=False)
