"""Choose one text from those of several turns of a clip: by likelihood, by majority, or one turn for the whole clip."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..data.turns import Turn

# Failures of one turn that leave the choice to the others. After any other, the item is to be run again.
_ABSTENTIONS = ("refusal", "content_filter", "empty", "length")
# Of a likelihood: the same clip in another batch differs in later ones. With four, answers that a model is sure of are
# equally likely, and the first turn wins.
_DIGITS = 5


def choose_record(records: Mapping[Turn, dict[str, Any]], how: str) -> dict[str, Any]:
    """Return the record of a query from its records under each turn, in their order.

    Of equally frequent answers the most likely one is kept, and of equally likely ones, or where the runner gives no
    likelihood, the first. A text that is empty or was refused under one turn is kept only if it is so under all.

    Args:
        records: The record of each turn.
        how: ``"likelihood"`` or ``"majority"``. For ``"clip"``, which needs all texts of the clip, the text by
            likelihood is kept until :func:`choose_for_clip`.

    Example:
        >>> two = {Turn(0): {"status": "ok", "text": "Lying.", "likelihood": -0.9},
        ...        Turn(90): {"status": "ok", "text": "Standing.", "likelihood": -0.1}}
        >>> choose_record(two, "likelihood")["text"]
        'Standing.'
    """
    if len(records) == 1:
        return next(iter(records.values()))
    failed = [(turn, record) for turn, record in records.items() if record["status"] != "ok"]
    for turn, record in failed:
        if record["kind"] not in _ABSTENTIONS:
            return record | _sums(records) | {"why": f"turned {turn.name}: {record['why']}"}
    texts = {turn: record for turn, record in records.items() if record["status"] == "ok"}
    candidates = {turn: record for turn, record in texts.items() if record["text"].strip()} or texts
    if not candidates:
        return failed[0][1] | _sums(records)
    votes = Counter(_vote(record["text"]) for record in candidates.values() if how == "majority")

    def rank(turn: Turn) -> tuple[int, float]:
        record = candidates[turn]
        return votes[_vote(record["text"])], round(record.get("likelihood", 0.0), _DIGITS)

    chosen = max(candidates, key=rank)
    kept = ("text", "likelihood")
    seen = [
        {"turn": turn.name} | {name: record[name] for name in (*kept, "kind") if name in record}
        for turn, record in records.items()
    ]
    return candidates[chosen] | _sums(records) | {"turn": chosen.name, "turns": seen}


def choose_for_clip(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of a clip with the texts of one turn: the one under which they are most likely together.

    A turn that has fewer texts is chosen only if none has more. A text that is empty or was refused under that turn
    is replaced by the most likely one of its query. Failed records are left as they are.

    Args:
        records: The records of all queries of a clip, from :func:`choose_record`.

    Example:
        >>> posture = [
        ...     {"turn": "0°", "text": "Lying.", "likelihood": -0.2},
        ...     {"turn": "90°", "text": "Standing.", "likelihood": -0.1},
        ... ]
        >>> wall = [
        ...     {"turn": "0°", "text": "A flag.", "likelihood": -0.1},
        ...     {"turn": "90°", "text": "A clock.", "likelihood": -0.9},
        ... ]
        >>> first = {"status": "ok", "text": "Standing.", "turns": posture}
        >>> records = [first, {"status": "ok", "text": "A flag.", "turns": wall}]
        >>> [record["text"] for record in choose_for_clip(records)]
        ['Lying.', 'A flag.']
    """
    counts: Counter[str] = Counter()
    totals: dict[str, float] = {}
    for record in records:
        for one in record.get("turns", ()):
            has_text = bool(str(one.get("text", "")).strip())
            counts[one["turn"]] += has_text
            totals[one["turn"]] = totals.get(one["turn"], 0.0) + (one.get("likelihood", 0.0) if has_text else 0.0)
    if not totals:
        return list(records)
    chosen = max(totals, key=lambda turn: (counts[turn], round(totals[turn], _DIGITS)))
    settled = []
    for record in records:
        kept: dict[str, Any] = next((one for one in record.get("turns", ()) if one["turn"] == chosen), {})
        if record["status"] == "ok" and str(kept.get("text", "")).strip():
            record = record | {name: kept[name] for name in ("text", "likelihood", "turn") if name in kept}
        settled.append(record)
    return settled


def _vote(text: str) -> str:
    """Answers are equal without case and punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


def _sums(records: Mapping[Turn, dict[str, Any]]) -> dict[str, Any]:
    """What all turns of a query took together."""
    total: dict[str, Any] = {}
    for name in ("seconds", "requests", "cost"):
        values = [record[name] for record in records.values() if name in record]
        if values:
            total[name] = round(sum(values), 6)
    for name in ("tokens", "phases"):
        counts: Counter[str] = Counter()
        for record in records.values():
            counts.update(record.get(name) or {})
        if counts:
            total[name] = {key: round(value, 6) for key, value in counts.items()}
    shared = [record["shared_prefix"] for record in records.values() if "shared_prefix" in record]
    return total | ({"shared_prefix": all(shared)} if shared else {})
