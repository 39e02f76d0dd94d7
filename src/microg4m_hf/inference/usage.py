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
        used = record.get("tokens")
        if isinstance(used, dict):  # journals may have been edited
            tokens.update({name: count for name, count in used.items() if isinstance(count, int)})
        if isinstance(record.get("flags"), list):
            flags.update(str(flag) for flag in record["flags"])
        if isinstance(record.get("requests"), int):
            requests += record["requests"]
        if isinstance(record.get("served"), str):
            models.add(record["served"])
        if isinstance(record.get("cost"), int | float):
            cost, priced = cost + record["cost"], True
    found: dict[str, Any] = {
        "requests": requests,
        "tokens": dict(tokens),
        "cost": round(cost, 6) if priced else None,
        "flags": dict(flags),
        "served": sorted(models),
    }
    return {name: value for name, value in found.items() if value or (name == "cost" and value is not None)}
