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
    one_key_frame: bool = False,
) -> Callable[[Any], dict[str, float]]:
    """Make a function for ``Trainer(compute_metrics=…)``.

    The collator pads boxes: logits ``(rows, boxes, classes)``, labels of the same shape with 0 and 1, and -100 for
    boxes that are padding (the Trainer silently drops ragged boxes, so only padding is exact).

    The published F1, recall and AUROC depend on which persons share a frame, so rows with several persons need to say
    it: return ``key_frames`` from the collator, ``(rows, boxes)`` with the frame number of each person (of one row;
    rows are never of one frame), and set ``TrainingArguments(label_names=["labels", "key_frames"])``.
    :class:`~microg4m_hf.training.PaddedCollator` returns it. Or say ``one_key_frame=True`` if each row is one frame.

    The Trainer does not pass on which clip a row belongs to: for intervals score a prediction file, and where clips can
    be repeated use ``HarAccumulator``.

    Args:
        protocol: ``"paper"`` or ``"instance"``.
        threshold: As for ``har_scores``.
        scores_are: ``"logits"`` or ``"probabilities"``.
        action_ids: The action of each class; by default the 50 (or AVA's 80) in order.
        prefix: Prepended to the name of each score.
        one_key_frame: All persons of a row are in one frame, so ``key_frames`` are not needed.

    Returns:
        The function. It raises ``PredictionError`` when shapes do not fit, every box is padding, or nothing says which
        persons of a row share a frame.

    Example:
        >>> class Output:
        ...     predictions = np.array([[[9.0, -9.0], [0.0, 0.0]]])
        ...     label_ids = np.array([[[1.0, 0.0], [-100, -100]]])
        >>> make_compute_metrics(action_ids=[1, 3])(Output())["map"]  # one person, so one key frame
        1.0
    """

    def compute_metrics(output: Any) -> dict[str, float]:
        logits = _first(output.predictions)
        labels, frames = _labels_and_frames(output.label_ids)
        if logits.ndim != 3 or labels.shape != logits.shape:
            raise PredictionError(
                f"logits have the shape {logits.shape} and labels {labels.shape}; both must be "
                "(rows, boxes, classes): pad boxes in the collator, with labels of -100"
            )
        real = (labels != PADDING).all(axis=2)
        if not real.any():
            raise PredictionError("every box is padding (labels of -100); give batches with labeled boxes")
        ids = class_ids(logits.shape[2], action_ids, "logits")
        frames = _check_frames(frames, real, one_key_frame)
        clip, slot = np.nonzero(real)
        # In the order of the frames, as other ways into the scores have it: it decides among equal scores.
        order = np.lexsort((slot, frames[real], clip))
        clip, slot, frame = clip[order], slot[order], frames[real][order]
        scores, truth = logits[clip, slot].astype(np.float64), labels[clip, slot] > 0.5
        # Persons of a clip get boxes side by side, so that each matches its own prediction only.
        left = slot / logits.shape[1]
        box = np.stack([left, np.zeros(left.size), left + 1 / logits.shape[1], np.ones(left.size)], axis=1)
        videos = tuple(f"clip{number}" for number in range(len(logits)))
        row, place = np.nonzero(truth)
        predictions = ActionRows(
            np.repeat(clip, len(ids)),
            videos,
            np.repeat(frame, len(ids)),
            np.repeat(box, len(ids), axis=0),
            np.tile(ids, clip.size),
            scores.ravel(),
            origin=Origin("predictions of the Trainer"),
            columns=len(ids),
        )
        origin = Origin("labels of the Trainer", references=True)
        references = ActionRows(clip[row], videos, frame[row], box[row], ids[place], origin=origin)
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


def _labels_and_frames(values: Any) -> tuple[np.ndarray, Any]:
    """Return the labels, and the key frames where they were passed on beside them."""
    if isinstance(values, dict):
        return _first(values), values.get("key_frames")
    if isinstance(values, (tuple, list)) and len(values) > 1:
        return _first(values), values[1]
    return _first(values), None


def _check_frames(frames: Any, real: np.ndarray, one_key_frame: bool) -> np.ndarray:
    """Return the frame of each person, 0 where rows need none."""
    if one_key_frame or (frames is None and real.sum(axis=1).max() == 1):
        return np.zeros(real.shape, dtype=np.int64)
    if frames is None:
        raise PredictionError(
            "rows have several persons, and nothing says which of them share a key frame, which F1, recall and AUROC "
            "depend on; return key_frames (rows, boxes) from the collator and set TrainingArguments(label_names="
            '["labels", "key_frames"]), or pass one_key_frame=True if each row is one key frame'
        )
    table = np.asarray(as_array(frames))
    if table.shape != real.shape or not np.array_equal(table[real], np.floor(table[real])) or (table[real] < 0).any():
        raise PredictionError(
            f"key_frames of shape {table.shape}; give (rows, boxes) = {real.shape}: the frame number of each person"
        )
    return np.where(real, table, 0).astype(np.int64)


def _first(values: Any) -> np.ndarray:
    """Return an array, the first of several, or the one called logits or labels."""
    if isinstance(values, dict):
        values = values.get("logits", values.get("labels", next(iter(values.values()))))
    if isinstance(values, (tuple, list)):
        values = values[0]
    return np.asarray(as_array(values))
