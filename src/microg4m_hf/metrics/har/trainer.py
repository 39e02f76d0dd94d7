"""``compute_metrics`` for ``transformers.Trainer``, over padded boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import Origin, PredictionError
from .arrays import as_array
from .columns import class_ids
from .rows import ActionRows
from .scores import har_scores

PADDING = -100


def make_compute_metrics(
    *,
    protocol: str = "paper",
    threshold: Any = None,
    scores_are: str = "logits",
    action_ids: Sequence[int] | None = None,
    prefix: str = "",
) -> Callable[[Any], dict[str, float]]:
    """Make a function for ``Trainer(compute_metrics=…)``.

    The collator pads boxes: logits ``(clips, boxes, classes)``, labels of the same shape with 0 and 1, and -100 for
    boxes that are padding (the Trainer silently drops ragged boxes, so only padding is exact). Every clip is one key
    frame. The Trainer does not pass on which clip a row belongs to: for intervals score a prediction file, and where
    clips can be repeated use ``HarAccumulator``.

    Args:
        protocol: ``"paper"`` or ``"instance"``.
        threshold: As for ``har_scores``.
        scores_are: ``"logits"`` or ``"probabilities"``.
        action_ids: The action of each class; by default the 50 (or AVA's 80) in order.
        prefix: Prepended to the name of each score.

    Returns:
        The function. It raises ``PredictionError`` when shapes do not fit or every box is padding.

    Example:
        >>> class Output:
        ...     predictions = np.array([[[9.0, -9.0], [0.0, 0.0]]])
        ...     label_ids = np.array([[[1.0, 0.0], [-100, -100]]])
        >>> make_compute_metrics(action_ids=[1, 3])(Output())["map"]
        1.0
    """

    def compute_metrics(output: Any) -> dict[str, float]:
        logits = _first(output.predictions)
        labels = _first(output.label_ids)
        if logits.ndim != 3 or labels.shape != logits.shape:
            raise PredictionError(
                f"logits have the shape {logits.shape} and labels {labels.shape}; both must be "
                "(clips, boxes, classes): pad boxes in the collator, with labels of -100"
            )
        real = (labels != PADDING).all(axis=2)
        if not real.any():
            raise PredictionError("every box is padding (labels of -100): there is nothing to score")
        ids = class_ids(logits.shape[2], action_ids, "logits")
        clip, slot = np.nonzero(real)
        scores, truth = logits[real].astype(np.float64), labels[real] > 0.5
        # Persons of a clip get boxes side by side, so that each matches its own prediction only.
        left = slot / logits.shape[1]
        box = np.stack([left, np.zeros(left.size), left + 1 / logits.shape[1], np.ones(left.size)], axis=1)
        videos = tuple(f"clip{number}" for number in range(len(logits)))
        row, place = np.nonzero(truth)
        predictions = ActionRows(
            np.repeat(clip, len(ids)),
            videos,
            np.zeros(clip.size * len(ids), dtype=np.int64),
            np.repeat(box, len(ids), axis=0),
            np.tile(ids, clip.size),
            scores.ravel(),
            origin=Origin("predictions of the Trainer"),
            columns=len(ids),
        )
        frame, origin = np.zeros(row.size, dtype=np.int64), Origin("labels of the Trainer", references=True)
        references = ActionRows(clip[row], videos, frame, box[row], ids[place], origin=origin)
        result = har_scores(
            predictions,
            references,
            protocol=protocol,
            threshold=threshold,
            scores_are=scores_are,
            classes=tuple(int(action) for action in ids),
            missing="zero",
        )
        return {prefix + name: value for name, value in result["scores"].items()}

    return compute_metrics


def _first(values: Any) -> np.ndarray:
    """Return an array, the first of several, or the one called logits or labels."""
    if isinstance(values, dict):
        values = values.get("logits", values.get("labels", next(iter(values.values()))))
    if isinstance(values, (tuple, list)):
        values = values[0]
    return np.asarray(as_array(values))
