"""What a run cost and where it failed, counted over everything that its processes wrote down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def usage(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums of tokens, money, requests and flags; tries that failed and were repeated cost, too. Only what occurs.

    >>> usage([{"tokens": {"in": 90, "out": 4}, "cost": 0.5}, {"tokens": {"in": 10}, "flags": ["cut"]}])
    {'tokens': {'in': 100, 'out': 4}, 'cost': 0.5, 'flags': {'cut': 1}}
    >>> usage([{"status": "ok", "text": "Two people."}])
    {}
    """
    tokens: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    models: set[str] = set()
    cost, requests, priced = 0.0, 0, False
    for record in records:
        tokens.update(record.get("tokens") or {})
        flags.update(record.get("flags") or [])
        requests += record.get("requests", 0)
        if "served" in record:
            models.add(record["served"])
        if "cost" in record:
            cost, priced = cost + record["cost"], True
    found: dict[str, Any] = {
        "requests": requests,
        "tokens": dict(tokens),
        "cost": round(cost, 6) if priced else None,
        "flags": dict(flags),
        "served": sorted(models),
    }
    return {name: value for name, value in found.items() if value or (name == "cost" and value is not None)}
