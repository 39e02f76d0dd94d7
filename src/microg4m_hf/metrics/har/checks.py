"""Check predictions and references before they are scored. Each error names the row and how to fix it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import PredictionError, list_some
from ...taxonomy import ACTION_IDS, NUM_ACTIONS, NUM_AVA_CLASSES
from .rows import ActionRows

OUTSIDE = 0.1  # how far a detector's box may reach past the border of the frame
MISSING = ("error", "zero", "drop")
AVA_IDS = tuple(range(1, NUM_AVA_CLASSES + 1))


def resolve_classes(predictions: ActionRows, classes: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return the action ids to score.

    Args:
        predictions: The predictions; without ``classes``, AVA's 80 are scored when these have 80 classes, else the 50.
        classes: 50, 80 or a list of action ids.

    Returns:
        The ids that F1, recall and precision average over.

    Raises:
        PredictionError: ``classes`` is another number, empty, or repeats an id.
    """
    if classes is not None:
        return check_classes(classes)
    ava = predictions.columns == NUM_AVA_CLASSES or set(np.unique(predictions.action)) == set(AVA_IDS)
    return AVA_IDS if ava else ACTION_IDS


def check_classes(classes: int | Sequence[int]) -> tuple[int, ...]:
    """Return the action ids that ``classes`` stands for, or raise a ``PredictionError``.

    >>> check_classes([12, 14]), len(check_classes(80))
    ((12, 14), 80)
    """
    if isinstance(classes, (int, np.integer)):
        if classes not in (NUM_ACTIONS, NUM_AVA_CLASSES):
            raise PredictionError(
                f"classes={classes} is not known; use 50 (MicroG-4M), 80 (AVA), or a list of action ids"
            )
        return ACTION_IDS if classes == NUM_ACTIONS else AVA_IDS
    ids = tuple(int(action) for action in classes)
    if len(set(ids)) != len(ids) or not ids:
        raise PredictionError(f"classes={list(ids)} is empty or repeats an id; give each action id once")
    return ids


def check_policies(missing: str, unknown: str) -> None:
    """Refuse unknown words for what happens to labeled boxes and to clips without a counterpart."""
    if missing not in MISSING:
        raise PredictionError(f"missing={missing!r} is not known; use one of {', '.join(MISSING)}")
    if unknown not in {"error", "drop"}:
        raise PredictionError(f"unknown={unknown!r} is not known; use 'error' or 'drop'")


def check_predictions(
    predictions: ActionRows, references: ActionRows, classes: Sequence[int], unknown: str
) -> tuple[ActionRows, int]:
    """Refuse what cannot be scored, and return the rows of known clips and how many rows were dropped."""
    if not len(predictions):
        raise predictions.error("holds no predictions", "give at least one row per labeled box")
    assert predictions.score is not None
    predictions.check(
        np.isfinite(predictions.score),
        f"the score is {{score!r}} ({{count}} of {len(predictions)} scores are not finite)",
        "nan and inf cannot be ranked: check the model's outputs",
    )
    _check_boxes(predictions)
    known = np.isin(predictions.action, np.asarray(classes))
    if not known.all():
        ids = [str(action) for action in sorted(set(predictions.action[~known].tolist()))]
        raise predictions.error(
            f"action ids {list_some(ids)} are not among the {len(classes)} classes",
            "use the ids of label_map.pbtxt; pass classes=80 for AVA's classes",
            row=int((~known).argmax()),
        )
    foreign = predictions.video >= len(references.videos)
    if foreign.any() and unknown == "error":
        names = [predictions.videos[code] for code in np.unique(predictions.video[foreign])]
        raise predictions.error(
            f"{len(names)} clips are not in the references: {list_some(names)}",
            "score them with their own references, or pass unknown='drop'",
        )
    if foreign.all():
        raise predictions.error("none of the clips is in the references", "check the split and how clips are named")
    if not foreign.any():
        return predictions, 0
    return predictions.take(np.flatnonzero(~foreign)), int(foreign.sum())


def check_references(references: ActionRows, classes: Sequence[int] = AVA_IDS) -> None:
    """Refuse references without rows, with unknown actions, with packed indices for ids, or with invalid boxes."""
    if not len(references):
        raise references.error("holds no labeled boxes", "give the key-frame file of the split")
    _check_boxes(references)
    known = np.isin(references.action, AVA_IDS)
    references.check(known, "{action} is not an action id", "use the ids of label_map.pbtxt")
    if tuple(classes) == ACTION_IDS and references.action.max() < NUM_ACTIONS:
        references.check(
            np.isin(references.action, ACTION_IDS),
            "{action} is none of the 50 action ids, and no id reaches 50: these look like packed indices",
            "give packed indices as labels, released ids as action_ids; pass classes=80 for AVA's classes",
        )


def _check_boxes(rows: ActionRows) -> None:
    box = rows.box
    name = "the labeled box" if rows.origin.references else "the box"
    rows.check(np.isfinite(box).all(axis=1), f"{name} {{box}} is not finite", "give four numbers")
    hint = "boxes are fractions of width and height, 0 to 1"
    if box.max() > 2:
        hint += "; these look like pixels: divide them"
    inside = np.all((box >= -OUTSIDE) & (box <= 1 + OUTSIDE), axis=1)
    rows.check(inside, f"{name} {{box}} lies outside the frame ({{count}} such rows)", hint)
    if rows.origin.references:
        forward = (box[:, 2] >= box[:, 0]) & (box[:, 3] >= box[:, 1])
        rows.check(forward, f"{name} {{box}} has x2 < x1 or y2 < y1", "give x1 <= x2 and y1 <= y2")
