"""Scores as aligned lines for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def percent(value: float | None) -> str:
    """A fraction as the tables print it.

    >>> percent(0.46413), percent(float("nan"))
    ('46.41', '–')
    """
    return "–" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns aligned by their widest cell, numbers to the right.

    >>> print(table(["", "map"], [["all", "46.41"]]))
         |   map
    -----|------
    all  | 46.41
    """
    body = [list(row) for row in rows]
    widths = [max(len(str(row[place])) for row in [head, *body]) for place in range(len(head))]
    widths[0] += 2
    lines = []
    for row in [head, *body]:
        cells = [f"{row[0]:<{widths[0]}}"] + [
            f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        lines.append("| ".join(cells).rstrip())
    lines.insert(1, "|-".join("-" * width for width in widths))
    return "\n".join(lines)
