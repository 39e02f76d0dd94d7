"""Join predictions with their references by key; count and name everything that does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import PredictionError, RecipeError, list_some
from .base import find_empty, find_non_strings, raise_if_any
from .entries import TextEntry


@dataclass
class JoinedTexts:
    """Predictions and references in the order of the references."""

    keys: list[Any]
    predictions: list[str]
    references: list[str]
    zero: list[int] = field(default_factory=list)  # indices of items without a prediction, which score zero
    missing: int = 0
    unknown: int = 0
    notes: list[str] = field(default_factory=list)


def join_texts(
    predictions: Sequence[TextEntry],
    references: Sequence[TextEntry],
    *,
    missing: str = "error",
    unknown: str = "error",
    on_empty: str = "error",
) -> JoinedTexts:
    """Join by key; whatever the options do not allow is an error that counts and names the items.

    ``missing="zero"`` scores an item without a prediction as zero, ``"drop"`` leaves it out; ``unknown="drop"`` leaves
    out predictions for items that the references lack. Two different predictions of one item are always an error.
    """
    for name, value, choices in (
        ("missing", missing, ("error", "zero", "drop")),
        ("unknown", unknown, ("error", "drop")),
        ("on_empty", on_empty, ("error", "score")),
    ):
        if value not in choices:
            raise RecipeError(f"{name}={value!r} is not known; choose one of {list(choices)}")
    notes: list[str] = []
    reference_of = _index_references(references, notes)
    prediction_of = _index_predictions(predictions, on_empty)

    extra = [key for key in prediction_of if key not in reference_of]
    absent = [key for key in reference_of if key not in prediction_of]
    if extra and unknown == "error":
        example = next(map(repr, reference_of), "nothing")
        raise PredictionError(
            f"{len(extra)} of {len(prediction_of)} predictions are for items that the references lack: "
            f"{list_some(map(repr, extra), 3)}; use keys such as {example}, or "
            "unknown='drop' to leave them out"
        )
    if absent and missing == "error":
        raise PredictionError(
            f"{len(absent)} of {len(reference_of)} references have no prediction: {list_some(map(repr, absent), 3)}; "
            "use missing='zero' to score them as zero, or missing='drop' to leave them out"
        )
    if extra:
        notes.append(f"{len(extra)} predictions for unknown items were left out")
    if absent:
        outcome = "scored as zero" if missing == "zero" else "left out"
        notes.append(f"{len(absent)} of {len(reference_of)} items have no prediction and were {outcome}")
    keys = [key for key in reference_of if key in prediction_of or missing == "zero"]
    if not keys:
        raise PredictionError("no reference has a prediction: nothing to score; check that both have the same keys")
    return JoinedTexts(
        keys=keys,
        predictions=[prediction_of.get(key, "") for key in keys],
        references=[reference_of[key] for key in keys],
        zero=[index for index, key in enumerate(keys) if key not in prediction_of],
        missing=len(absent),
        unknown=len(extra),
        notes=notes,
    )


def _index_references(entries: Sequence[TextEntry], notes: list[str]) -> dict[Any, str]:
    texts = [entry.text for entry in entries]
    raise_if_any("references are not strings", find_non_strings(texts), texts, _locate(entries), "give text")
    # The released code fills a dictionary: the later of two captions counts, at the earlier one's position.
    reference_of = {entry.key: entry.text for entry in entries}
    repeated = len(entries) - len(reference_of)
    if repeated:
        notes.append(f"{repeated} references share a key with another; as published, the last one counts")
    return reference_of


def _index_predictions(entries: Sequence[TextEntry], on_empty: str) -> dict[Any, str]:
    texts, names = [entry.text for entry in entries], _locate(entries)
    hint = "give '' for an empty answer, leave out a missing one"
    raise_if_any("predictions are not strings", find_non_strings(texts), texts, names, hint)
    if on_empty == "error":
        hint = "on_empty='score' scores them as they are; leave them out and say missing='zero' to score them as zero"
        raise_if_any("predictions are empty", find_empty(texts), texts, names, hint)
    prediction_of: dict[Any, str] = {}
    # The same text twice is harmless: the released list itself names one clip twice.
    conflicts = [
        index for index, entry in enumerate(entries) if prediction_of.setdefault(entry.key, entry.text) != entry.text
    ]
    problem = "predictions are for an item that has another prediction already"
    raise_if_any(problem, conflicts, texts, names, "keep one of them")
    return prediction_of


def _locate(entries: Sequence[TextEntry]) -> list[str]:
    return [f"{entry.key} ({entry.location})" for entry in entries]
