"""Whether a score may stand in one ranking with the published ones, and if not, why."""

from __future__ import annotations

from typing import Any

from .published import PublishedTable
from .truth import Truth


def differences_from_published(result: dict[str, Any], truth: Truth, table: PublishedTable) -> list[str]:
    """Everything in which a score's recipe and references differ from a published table; empty: the same protocol.

    >>> from .published import published_tables
    >>> result = {"recipe": {"protocol": "paper", "tokenizer": "whitespace", "used": 1237, "missing": 0}}
    >>> differences_from_published(result, Truth("caption", None, "files"), published_tables()["caption"])
    []
    >>> result["recipe"] |= {"used": 30, "missing": 3}
    >>> differences_from_published(result, Truth("caption", None, "files"), published_tables()["caption"])
    ['used: 30, published 1237', '3 items without a prediction']
    """
    recipe = result["recipe"]
    counts = result.get("counts", {}) | {"used": recipe.get("used")}
    found = []
    if truth.sample:
        found.append("scored on the built-in sample, which is drawn")
    if truth.scheme != "official":
        found.append(f"split scheme {truth.scheme}, published official")
    for name, value in table.protocol.items():
        if recipe.get(name) != value:
            found.append(f"{name}: {recipe.get(name)}, published {value}")
    if not truth.sample and truth.scheme == "official":
        for name, value in table.size.items():
            if counts.get(name) != value:
                found.append(f"{name.replace('_', ' ')}: {counts.get(name)}, published {value}")
    if recipe.get("missing"):
        found.append(f"{recipe['missing']} items without a prediction")
    return found


def nearest_table(task: str, result: dict[str, Any], tables: dict[str, PublishedTable]) -> PublishedTable:
    """The published table that a result belongs beside."""
    if task == "har" and result["recipe"].get("classes") == 80:
        return tables["har_zero_shot"]
    return tables[task]
