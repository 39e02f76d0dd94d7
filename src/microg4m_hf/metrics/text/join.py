"""Predictions laid beside their references, key by key, with everything that does not fit counted and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import PredictionError, RecipeError
from .base import empty_places, refuse
from .entries import Entry


@dataclass
class Joined:
    """Items in the order of the references."""

    keys: list[Any]
    predictions: list[str]
    references: list[str]
    zero: list[int] = field(default_factory=list)  # places of items without a prediction that score zero
    missing: int = 0
    unknown: int = 0
    notes: list[str] = field(default_factory=list)


def join(
    predictions: Sequence[Entry],
    references: Sequence[Entry],
    *,
    missing: str = "error",
    unknown: str = "error",
    on_empty: str = "error",
) -> Joined:
    """Join by key; by default anything missing, unknown, repeated with another text, empty or no text is an error.

    ``missing="zero"`` scores an item without a prediction as zero, ``"drop"`` leaves it out; ``unknown="drop"``
    leaves out predictions for items that the references lack. The counts are in the result.
    """
    for name, value, choices in (
        ("missing", missing, ("error", "zero", "drop")),
        ("unknown", unknown, ("error", "drop")),
        ("on_empty", on_empty, ("error", "score")),
    ):
        if value not in choices:
            raise RecipeError(f"{name}={value!r} means nothing; choose one of {list(choices)}")
    notes: list[str] = []
    meant = _references(references, notes)
    said = _predictions(predictions, on_empty)

    strangers = [key for key in said if key not in meant]
    absent = [key for key in meant if key not in said]
    if strangers and unknown == "error":
        raise PredictionError(
            f"{len(strangers)} of {len(said)} predictions are for items that the references lack: {_named(strangers)}; "
            f"the references hold for example {_named(list(meant)[:1])} (unknown='drop' leaves them out)"
        )
    if absent and missing == "error":
        raise PredictionError(
            f"{len(absent)} of {len(meant)} references have no prediction: {_named(absent)} "
            "(missing='zero' scores them as zero, missing='drop' leaves them out; the result says how many)"
        )
    if strangers:
        notes.append(f"{len(strangers)} predictions for unknown items were left out")
    if absent:
        what = "scored as zero" if missing == "zero" else "left out"
        notes.append(f"{len(absent)} of {len(meant)} items have no prediction and were {what}")
    keys = [key for key in meant if key in said or missing == "zero"]
    if not keys:
        raise PredictionError("no reference has a prediction: nothing to score")
    return Joined(
        keys=keys,
        predictions=[said.get(key, "") for key in keys],
        references=[meant[key] for key in keys],
        zero=[place for place, key in enumerate(keys) if key not in said],
        missing=len(absent),
        unknown=len(strangers),
        notes=notes,
    )


def _references(entries: Sequence[Entry], notes: list[str]) -> dict[Any, str]:
    wrong = [place for place, entry in enumerate(entries) if not isinstance(entry.text, str)]
    refuse("references are not strings", wrong, [entry.text for entry in entries], _places(entries), "give text")
    # The released code fills a dictionary: the later of two captions counts, at the earlier one's place.
    meant = {entry.key: entry.text for entry in entries}
    if len(meant) < len(entries):
        notes.append(
            f"{len(entries) - len(meant)} references share a key with another; as published, the last one counts"
        )
    return meant


def _predictions(entries: Sequence[Entry], on_empty: str) -> dict[Any, str]:
    texts, names = [entry.text for entry in entries], _places(entries)
    wrong = [place for place, text in enumerate(texts) if not isinstance(text, str)]
    refuse("predictions are not strings", wrong, texts, names, "give '' for an empty answer, leave out a missing one")
    if on_empty == "error":
        hint = "on_empty='score' scores them as they are; leave them out and say missing='zero' to score them as zero"
        refuse("predictions are empty", empty_places(texts), texts, names, hint)
    said: dict[Any, str] = {}
    conflicts = []
    for place, entry in enumerate(entries):
        # The very same text twice is harmless: the released list itself names one clip twice.
        if said.setdefault(entry.key, entry.text) != entry.text:
            conflicts.append(place)
    refuse(
        "predictions are for an item that has another prediction already", conflicts, texts, names, "keep one of them"
    )
    return said


def _places(entries: Sequence[Entry]) -> list[str]:
    return [f"{entry.key} ({entry.place})" for entry in entries]


def _named(keys: Sequence[Any]) -> str:
    shown = ", ".join(repr(key) for key in keys[:3])
    return shown + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
