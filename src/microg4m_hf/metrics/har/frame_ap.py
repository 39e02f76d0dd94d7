"""AVA frame-mAP: average precision per action over all key frames, as the released evaluator computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import PredictionError
from .average_precision import Ranking, as_published, average_precisions, rank, tie_range, tied
from .inputs import read_rows
from .matching import IOU, true_positives
from .rows import ActionRows, fail, same_videos, small_codes
from .ties import expected_precisions


@dataclass(frozen=True)
class FrameAP:
    """Average precision per action, with what is needed to rank again under other weights."""

    action_ids: tuple[int, ...]
    ap: np.ndarray
    lowest: np.ndarray  # over all orders of equal scores
    highest: np.ndarray
    positives: np.ndarray  # labelled boxes per action
    ranking: Ranking
    row: np.ndarray  # per ranked row: its place among the rows that were given
    tied_share: float  # of all scores: another box has the same score for the same action
    degenerate: int  # detections without area, dropped

    @property
    def mean(self) -> float:
        """The mAP: mean over the actions that occur in the references, nan when there are none."""
        return mean_defined(self.ap)


def frame_ap(
    references: Any, predictions: Any, action_ids: Sequence[int], *, iou: float = IOU, ties: str = "published"
) -> dict[int, float]:
    """Average precision of each action at ``iou``; nan for an action without a labelled box.

    Rows are ``(video_id, frame, x1, y1, x2, y2, action_id[, score])``; columns, files and tables are accepted too.
    The rules are those of the released AVA evaluator:

    * a detection asks only for the labelled box of highest overlap (``>= iou``); the first in the order of the
      input gets it, whatever its score; every other detection is a miss;
    * a labelled box given twice counts twice, and its copy can never be found; one without area cannot be found;
    * a detection without area is dropped; frames ``1`` and ``"0001"`` are the same;
    * equal scores rank as the published numbers did (``ties="published"``), or every order counts alike
      (``ties="expected"``: the expectation over random order).

    >>> truth = [("a_001", 1, 0, 0, 1, 1, 12), ("b_001", 1, 0, 0, 1, 1, 12)]
    >>> found = [("a_001", 1, 0, 0, 1, 0.9, 12, 2.5)]
    >>> frame_ap(truth, found, [12, 14])
    {12: 0.5, 14: nan}
    """
    result = evaluate(read_rows(predictions), read_rows(references, references=True), action_ids, iou=iou, ties=ties)
    return {action: float(value) for action, value in zip(result.action_ids, result.ap, strict=True)}


def evaluate(
    predictions: ActionRows,
    references: ActionRows,
    action_ids: Sequence[int],
    *,
    iou: float = IOU,
    ties: str = "published",
    best_score_first: bool = False,
) -> FrameAP:
    """``frame_ap`` on checked rows, with its tie range; ``best_score_first`` lets high scores claim boxes first."""
    if ties not in {"published", "expected"}:
        raise ValueError(f"ties must be 'published' or 'expected', not {ties!r}")
    ids = tuple(dict.fromkeys(int(action) for action in action_ids))
    if min(ids, default=0) < 0:
        raise PredictionError(f"{min(ids)} is no action id; use the ids of label_map.pbtxt")
    assert predictions.score is not None
    _refuse_nan(predictions)
    _refuse_inverted(references)
    label_of_row = _labels(predictions.action, ids)
    boxes = predictions.box
    solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    truth_label = _labels(references.action, ids)
    truth = np.flatnonzero(truth_label >= 0)
    truth_label = truth_label[truth]
    row = np.flatnonzero((label_of_row >= 0) & solid)
    frame, truth_frame = small_codes(same_videos(predictions, references).key[row], references.key[truth])
    turn = _collected(frame)
    row, frame = row[turn], frame[turn]
    label, boxes, scores = label_of_row[row], boxes[row], predictions.score[row]

    # One slot per frame and action; most detections have none of their action in the frame and cannot be right.
    slot, truth_slot = frame * len(ids) + label, truth_frame * len(ids) + truth_label
    labelled = np.zeros(max(slot.max(initial=-1), truth_slot.max(initial=-1)) + 1, dtype=bool)
    labelled[truth_slot] = True
    asking = np.flatnonzero(labelled[slot])
    if best_score_first:
        asking = asking[np.argsort(-scores[asking], kind="stable")]
    hit = np.zeros(row.size, dtype=bool)
    hit[asking] = true_positives(slot[asking], boxes[asking], truth_slot, references.box[truth], iou=iou)
    positives = np.bincount(truth_label, minlength=len(ids))
    ranking = rank(label, scores, hit, len(ids))
    lowest, highest = tie_range(ranking, positives)
    if ties == "published":
        ranking = as_published(ranking, scores)
        ap = average_precisions(ranking.hit, ranking.start, positives)
    else:
        ap = expected_precisions(ranking, positives)
    share = float(tied(ranking).mean()) if len(row) else 0.0
    ranked = row[ranking.order]
    return FrameAP(
        ids,
        ap,
        lowest,
        highest,
        positives,
        ranking,
        ranked,
        share,
        int((~solid & (label_of_row >= 0)).sum()),
    )


def mean_defined(values: np.ndarray) -> float:
    """Mean of the values that are not nan; nan when there are none.

    >>> mean_defined(np.array([1.0, np.nan, 0.0]))
    0.5
    """
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _labels(actions: np.ndarray, ids: tuple[int, ...]) -> np.ndarray:
    """The place of each action among ``ids``, -1 for others."""
    highest = max(ids, default=0)
    place = np.full(highest + 2, -1)  # the last one is for every id above
    place[list(ids)] = np.arange(len(ids))
    return place[np.clip(actions, -1, highest + 1)]


def _collected(frame: np.ndarray) -> np.ndarray | slice:
    """The order in which the evaluator collects rows: frames as they first appear, rows of a frame as they stand."""
    begin = np.flatnonzero(np.r_[True, frame[1:] != frame[:-1]]) if frame.size else np.empty(0, dtype=np.int64)
    frames, first = np.unique(frame[begin], return_index=True)
    if frames.size == begin.size:
        return slice(None)
    appearance = np.zeros(int(frames.max()) + 1, dtype=np.int64)
    appearance[frames] = first
    return np.argsort(appearance[frame], kind="stable")


def _refuse_nan(predictions: ActionRows) -> None:
    assert predictions.score is not None
    bad = np.isnan(predictions.score)
    if bad.any() or np.isnan(predictions.box).any():
        rows = bad | np.isnan(predictions.box).any(axis=1)
        where = predictions.where(int(rows.argmax()))
        raise fail(
            where,
            f"{int(rows.sum())} rows hold nan, this one first",
            "nan cannot be ranked: find out why the model gave it",
        )


def _refuse_inverted(references: ActionRows) -> None:
    box = references.box
    bad = ~((box[:, 2] >= box[:, 0]) & (box[:, 3] >= box[:, 1]))
    if bad.any():
        row = int(bad.argmax())
        raise fail(
            references.where(row),
            f"box {box[row].tolist()} ends before it begins",
            "a labelled box needs x1 <= x2 and y1 <= y2",
            references=True,
        )
