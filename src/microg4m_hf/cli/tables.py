"""Scores as aligned lines for people, and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..storage import write_atomic

_UNSCALED = {"cider"}  # printed on its own scale times 100, as in the published tables


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


def plain(value: Any) -> Any:
    """Values as JSON knows them: no nan, no infinities, text keys.

    >>> plain({12: float("nan")})
    {'12': None}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def save(result: dict[str, Any], path: str) -> None:
    """Write a result as JSON, whole or not at all."""
    write_atomic(path, json.dumps(plain(result), indent=1, ensure_ascii=False) + "\n")
