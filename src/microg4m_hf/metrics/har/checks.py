"""What predictions and references must be before they are scored; each fault names itself, its place and the cure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import PredictionError
from ...taxonomy import ACTION_IDS, NUM_ACTIONS, NUM_AVA_CLASSES
from .rows import ActionRows, fail

OUTSIDE = 0.1  # how far a detector's box may reach past the border of the frame
AVA_IDS = tuple(range(1, NUM_AVA_CLASSES + 1))


def listed(names: Sequence[str], limit: int = 5) -> str:
    """The first few distinct names, and how many more there are.

    >>> listed(["a", "b", "a", "c"], limit=2)
    'a, b and 1 more'
    """
    distinct = list(dict.fromkeys(names))
    more = len(distinct) - limit
    return ", ".join(distinct[:limit]) + (f" and {more} more" if more > 0 else "")


def resolve_classes(predictions: ActionRows, classes: int | Sequence[int] | None) -> tuple[int, ...]:
    """The action ids that F1, recall and precision average over: the 50, AVA's 80, or those given."""
    if classes is None:
        ava = predictions.columns == NUM_AVA_CLASSES or set(np.unique(predictions.action)) == set(AVA_IDS)
        return AVA_IDS if ava else ACTION_IDS
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


def check_predictions(
    predictions: ActionRows, references: ActionRows, classes: Sequence[int], unknown: str
) -> tuple[ActionRows, int]:
    """Refuse what cannot be scored; the rows that remain, and how many rows of unknown clips were dropped."""
    if unknown not in {"error", "drop"}:
        raise PredictionError(f"unknown={unknown!r} is not known; use 'error' or 'drop'")
    if not len(predictions):
        raise fail(predictions, "holds no predictions", "give at least one row per labelled box")
    assert predictions.score is not None
    _check_numbers(predictions, predictions.score)
    _check_boxes(predictions, references=False)
    known = np.isin(predictions.action, np.asarray(classes))
    if not known.all():
        row = int((~known).argmax())
        ids = sorted(set(predictions.action[~known].tolist()))
        raise fail(
            predictions.where(row),
            f"action ids {listed([str(action) for action in ids])} are not among the {len(classes)} classes",
            "use the ids of label_map.pbtxt; pass classes=80 for AVA's classes",
        )
    strange = predictions.video >= len(references.videos)
    if strange.any() and unknown == "error":
        names = [predictions.videos[code] for code in np.unique(predictions.video[strange])]
        raise fail(
            predictions,
            f"{len(names)} clips are not in the references: {listed(names)}",
            "score them with their own references, or pass unknown='drop'",
        )
    if strange.all():
        raise fail(predictions, "none of the clips is in the references", "check the split and how clips are named")
    if not strange.any():
        return predictions, 0
    return predictions.take(np.flatnonzero(~strange)), int(strange.sum())


def check_references(references: ActionRows) -> None:
    """Refuse references without rows, with unknown actions, or with boxes that are none."""
    if not len(references):
        raise fail(references, "holds no labelled boxes", "give the key-frame file of the split", references=True)
    _check_boxes(references, references=True)
    strange = (references.action < 1) | (references.action > NUM_AVA_CLASSES)
    if strange.any():
        row = int(strange.argmax())
        raise fail(
            references.where(row),
            f"{int(references.action[row])} is no action id",
            "use the ids of label_map.pbtxt",
            references=True,
        )


def _check_numbers(predictions: ActionRows, score: np.ndarray) -> None:
    bad = ~np.isfinite(score)
    if bad.any():
        row = int(bad.argmax())
        raise fail(
            predictions.where(row),
            f"the score is {float(score[row])!r} ({int(bad.sum())} of {len(score)} scores are not finite)",
            "a model that gives nan or inf has gone wrong; find out why",
        )


def _check_boxes(rows: ActionRows, *, references: bool) -> None:
    box = rows.box
    whose = "the labelled box" if references else "the box"
    bad = ~np.isfinite(box).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise fail(rows.where(row), f"{whose} {box[row].tolist()} is not finite", "four numbers", references=references)
    bad = ((box < -OUTSIDE) | (box > 1 + OUTSIDE)).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        hint = "boxes are fractions of width and height, 0 to 1"
        if box.max() > 2:
            hint += "; these look like pixels: divide them"
        problem = f"{whose} {box[row].tolist()} lies outside the frame ({int(bad.sum())} such rows)"
        raise fail(rows.where(row), problem, hint, references=references)
    bad = (box[:, 2] < box[:, 0]) | (box[:, 3] < box[:, 1])
    if references and bad.any():
        row = int(bad.argmax())
        problem = f"{whose} {box[row].tolist()} ends before it begins"
        raise fail(rows.where(row), problem, "x1 <= x2 and y1 <= y2", references=True)
