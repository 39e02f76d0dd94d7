"""Ask a model under several turns of each clip, and keep one text: the most likely one, or the most frequent answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..data.turns import Turn
from .items import ClipQueries, Query, TextSettings
from .run import Results, Runner

# Failures of one turn that leave the choice to the others. After any other, the item is to be run again.
_ABSTENTIONS = ("refusal", "content_filter", "empty", "length")
_DIGITS = 4  # of a likelihood: the same clip in another batch differs in later ones


def choosing_runner(runner: Runner, settings: TextSettings) -> Runner:
    """Return a runner that shows each clip to another runner under the turns of the settings.

    With several turns, a query is done when its texts under all of them are there; the record holds all of them, and
    the sums of their tokens, seconds and cost.
    """
    views = settings.views

    def choose(clips: Sequence[ClipQueries]) -> Results:
        shown: list[ClipQueries] = []
        origin: dict[str, tuple[Query, Turn]] = {}
        for clip in clips:
            for number, turn in enumerate(views):
                # The first turn keeps the ids, which seed sampled answers.
                queries = {
                    replace(query, id=f"{query.id}@{turn.name}") if number else query: query for query in clip.queries
                }
                origin |= {one.id: (query, turn) for one, query in queries.items()}
                shown.append(replace(clip, queries=tuple(queries), turn=turn))
        waiting: dict[str, dict[Turn, dict[str, Any]]] = {}
        for one, record in runner(shown):
            query, turn = origin[one.id]
            records = waiting.setdefault(query.id, {})
            records[turn] = record
            if len(records) == len(views):
                del waiting[query.id]
                yield query, choose_record({turn: records[turn] for turn in views}, settings.turn_choice)

    return choose


def choose_record(records: Mapping[Turn, dict[str, Any]], how: str) -> dict[str, Any]:
    """Return the record of a query from its records under each turn, in their order.

    Of equally frequent answers the most likely one is kept, and of equally likely ones, or where the runner gives no
    likelihood, the first. A text that is empty or was refused under one turn is kept only if it is so under all.

    Args:
        records: The record of each turn.
        how: ``"likelihood"`` or ``"majority"``.

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
            return record | {"why": f"turned {turn.name}: {record['why']}"}
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
    tokens: Counter[str] = Counter()
    for record in records.values():
        tokens.update(record.get("tokens") or {})
    shared = [record["shared_prefix"] for record in records.values() if "shared_prefix" in record]
    return total | ({"tokens": dict(tokens)} if tokens else {}) | ({"shared_prefix": all(shared)} if shared else {})
