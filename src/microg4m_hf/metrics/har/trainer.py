"""``compute_metrics`` for ``transformers.Trainer`` with padded boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import PredictionError
from .columns import as_array, class_ids
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
    """A function for ``Trainer(compute_metrics=…)``.

    The collator pads boxes: logits ``(clips, boxes, classes)``, labels of the same shape with 0 and 1, and -100 in
    the rows of boxes that are padding (the Trainer drops ragged boxes silently, so padding is the only exact way).
    Every clip is one key frame. The Trainer tells nothing about clips, so nothing is resampled here; score a
    prediction file for intervals. Use an accumulator where clips can come twice.

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
        # Persons of a clip get boxes side by side: each is found by its own prediction and by no other.
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
            name="predictions of the Trainer",
            columns=len(ids),
        )
        references = ActionRows(clip[row], videos, np.zeros(row.size, dtype=np.int64), box[row], ids[place])
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
    """The array itself, or the first (or the one called logits or labels) of several."""
    if isinstance(values, dict):
        values = values.get("logits", values.get("labels", next(iter(values.values()))))
    if isinstance(values, (tuple, list)):
        values = values[0]
    return np.asarray(as_array(values))
