"""AVA frame-mAP: average precision of each action over all key frames, as the released evaluator computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import PredictionError
from .average_precision import Ranking, apply_published_order, average_precisions, rank, tie_range
from .inputs import read_rows
from .matching import IOU, true_positives
from .rows import ActionRows, encode_keys, share_videos
from .ties import expected_precisions


@dataclass(frozen=True)
class FrameAP:
    """Average precision per action, and the ranking to compute it again under other weights."""

    action_ids: tuple[int, ...]
    ap: np.ndarray
    lowest: np.ndarray  # over all orders of equal scores
    highest: np.ndarray
    positives: np.ndarray  # labeled boxes per action
    ranking: Ranking
    row: np.ndarray  # per ranked row: its place in the input
    tied_share: float  # the share of scores that equal another box's score for the same action
    degenerate: int  # detections without area, dropped

    @property
    def mean(self) -> float:
        """The mAP: mean over the actions that occur in the references, nan when there are none."""
        return mean_defined(self.ap)


def frame_ap(
    references: Any, predictions: Any, action_ids: Sequence[int], *, iou: float = IOU, ties: str = "published"
) -> dict[int, float]:
    """Compute the average precision of each action.

    The rules are those of the released AVA evaluator:

    * a detection can only claim the labeled box of highest overlap (``>= iou``); the first in the order of the input
      gets it, whatever its score; every other detection is a miss;
    * a duplicate labeled box is a second positive that no detection can match, and one without area cannot be matched;
    * a detection without area is dropped; frames ``1`` and ``"0001"`` are the same.

    Args:
        references: Rows ``(video_id, frame, x1, y1, x2, y2, action_id)``, or any other form that ``read_rows`` lists.
        predictions: The same with a score.
        action_ids: The actions to score.
        iou: Overlap from which a box counts as found.
        ties: ``"published"`` ranks equal scores as the published numbers did; ``"expected"`` takes the expectation
            over random order.

    Returns:
        Average precision by action id; nan for an action without a labeled box.

    Raises:
        PredictionError: The predictions cannot be read or ranked.
        DataError: The references cannot be used.

    Example:
        >>> truth = [("a_001", 1, 0, 0, 1, 1, 12), ("b_001", 1, 0, 0, 1, 1, 12)]
        >>> found = [("a_001", 1, 0, 0, 1, 0.9, 12, 2.5)]
        >>> frame_ap(truth, found, [12, 14])
        {12: 0.5, 14: nan}
    """
    found, truth = read_rows(predictions), read_rows(references, references=True)
    result = evaluate_frames(found, truth, action_ids, iou=iou, ties=ties)
    return {action: float(value) for action, value in zip(result.action_ids, result.ap, strict=True)}


def evaluate_frames(
    predictions: ActionRows,
    references: ActionRows,
    action_ids: Sequence[int],
    *,
    iou: float = IOU,
    ties: str = "published",
    best_score_first: bool = False,
) -> FrameAP:
    """Compute ``frame_ap`` of rows, with its tie range; ``best_score_first`` lets high scores claim boxes first."""
    if ties not in {"published", "expected"}:
        raise ValueError(f"ties={ties!r} is not known; use 'published' or 'expected'")
    ids = tuple(dict.fromkeys(int(action) for action in action_ids))
    if min(ids, default=0) < 0:
        raise PredictionError(f"{min(ids)} is not an action id; use the ids of label_map.pbtxt")
    assert predictions.score is not None
    _check_values(predictions, references)
    label_of_row = _label_index(predictions.action, ids)
    boxes = predictions.box
    solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    truth_label = _label_index(references.action, ids)
    truth = np.flatnonzero(truth_label >= 0)
    truth_label = truth_label[truth]
    row = np.flatnonzero((label_of_row >= 0) & solid)
    frame, truth_frame = encode_keys(share_videos(predictions, references).key[row], references.key[truth])
    order = _collection_order(frame)
    row, frame = row[order], frame[order]
    label, boxes, scores = label_of_row[row], boxes[row], predictions.score[row]

    # One slot per frame and action. Most detections have no labeled box in their slot, and cannot be hits.
    slot, truth_slot = frame * len(ids) + label, truth_frame * len(ids) + truth_label
    labeled = np.zeros(max(slot.max(initial=-1), truth_slot.max(initial=-1)) + 1, dtype=bool)
    labeled[truth_slot] = True
    claiming = np.flatnonzero(labeled[slot])
    if best_score_first:
        claiming = claiming[np.argsort(-scores[claiming], kind="stable")]
    hit = np.zeros(row.size, dtype=bool)
    hit[claiming] = true_positives(slot[claiming], boxes[claiming], truth_slot, references.box[truth], iou=iou)
    positives = np.bincount(truth_label, minlength=len(ids))
    ranking = rank(label, scores, hit, len(ids))
    lowest, highest = tie_range(ranking, positives)
    if ties == "published":
        ranking = apply_published_order(ranking, scores)
        ap = average_precisions(ranking.hit, ranking.start, positives)
    else:
        ap = expected_precisions(ranking, positives)
    share = float(ranking.tied.mean()) if len(row) else 0.0
    degenerate = int((~solid & (label_of_row >= 0)).sum())
    return FrameAP(ids, ap, lowest, highest, positives, ranking, row[ranking.order], share, degenerate)


def mean_defined(values: np.ndarray) -> float:
    """Return the mean of the values that are not nan; nan when there are none.

    >>> mean_defined(np.array([1.0, np.nan, 0.0]))
    0.5
    """
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _label_index(actions: np.ndarray, ids: tuple[int, ...]) -> np.ndarray:
    """Return the place of each action among ``ids``, -1 for others."""
    highest = max(ids, default=0)
    place = np.full(highest + 2, -1)  # the last entry stands for every id above
    place[list(ids)] = np.arange(len(ids))
    return place[np.clip(actions, -1, highest + 1)]


def _collection_order(frame: np.ndarray) -> np.ndarray | slice:
    """Return the order in which the evaluator collects rows: frames by first appearance, rows of a frame as given."""
    begin = np.flatnonzero(np.r_[True, frame[1:] != frame[:-1]]) if frame.size else np.empty(0, dtype=np.int64)
    frames, first = np.unique(frame[begin], return_index=True)
    if frames.size == begin.size:
        return slice(None)
    appearance = np.zeros(int(frames.max()) + 1, dtype=np.int64)
    appearance[frames] = first
    return np.argsort(appearance[frame], kind="stable")


def _check_values(predictions: ActionRows, references: ActionRows) -> None:
    assert predictions.score is not None
    defined = ~(np.isnan(predictions.score) | np.isnan(predictions.box).any(axis=1))
    problem = "{count} rows hold nan, this one first"
    predictions.check(defined, problem, "nan cannot be ranked: check the model's outputs")
    box = references.box
    forward = (box[:, 2] >= box[:, 0]) & (box[:, 3] >= box[:, 1])
    references.check(forward, "box {box} has x2 < x1 or y2 < y1", "a labeled box needs x1 <= x2 and y1 <= y2")
