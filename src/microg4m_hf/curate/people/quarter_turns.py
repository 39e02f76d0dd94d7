"""The stage ``people``: detect in four quarter turns of every frame, merge, and keep the raw detections.

Detectors are trained on upright people and lose others; a person who floats upside down is upright in one of the turns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...data.video.clip import open_clip
from ..protocols import PeopleSettings
from ..work import ClipRecord, Work
from .callables import Boxes, Detections
from .detectors import Detector

_SAME_TURN = 0.7


class TurnedPeople(NamedTuple):
    """The people of a frame: boxes, scores, and for each box its best score in every turn that was looked at."""

    boxes: Boxes
    scores: NDArray[np.float64]
    by_turn: NDArray[np.float64]


def detect_people(work: Work, clip: ClipRecord, detector: Detector) -> dict[str, Any]:
    """Write ``people/<video_id>.json`` and return the record of the stage ``people``.

    Args:
        work: The work folder.
        clip: The clip.
        detector: What `load_detector` returned.
    """
    settings = work.settings.people
    with open_clip(clip.path) as opened:
        count = len(opened)
        looked_at = list(range(0, count, settings.every))
        found = find_in_turns(list(opened.frames(looked_at)), detector, settings)
    frames = []
    for frame, (boxes, scores, by_turn) in zip(looked_at, found, strict=True):
        rows = [
            [*(round(v, 2) for v in box), round(s, 4)] for box, s in zip(boxes.tolist(), scores.tolist(), strict=True)
        ]
        # In hundredths, from which `angles` tells how a person is turned.
        turns = {"turns": (100 * by_turn).round().astype(int).tolist()} if settings.turns > 1 else {}
        frames.append({"frame_id": frame + 1, "boxes": rows, **turns})
    content = {"video_id": clip.video_id, "width": clip.width, "height": clip.height, "frames": frames, "length": count}
    sha256 = work.write_result("people", clip.video_id, work.result_key("people", clip.sha256), content)
    best = [round(float(one.scores.max(initial=0.0)), 4) for one in found]
    return {"status": "ok", "result": [{"sha256": sha256, "best_scores": best}]}


def read_detections(content: dict[str, Any]) -> list[Detections]:
    """Return boxes and scores of every frame of a clip from the content of ``people/<video_id>.json``."""
    every: list[Detections] = [(np.zeros((0, 4)), np.zeros(0)) for _ in range(content["length"])]
    for frame in content["frames"]:
        rows = np.asarray(frame["boxes"], dtype=np.float64).reshape(-1, 5)
        every[frame["frame_id"] - 1] = rows[:, :4], rows[:, 4]
    return every


def detect_in_turns(frames: list[NDArray[np.uint8]], detector: Detector, settings: PeopleSettings) -> list[Detections]:
    """Return the people of every frame, found in one or four quarter turns and merged.

    Args:
        frames: RGB frames of one size.
        detector: The detector.
        settings: How many turns, the weakest score, and the overlap above which boxes of two turns are one person.
    """
    return [(boxes, scores) for boxes, scores, _ in find_in_turns(frames, detector, settings)]


def find_in_turns(frames: list[NDArray[np.uint8]], detector: Detector, settings: PeopleSettings) -> list[TurnedPeople]:
    """Return the people of every frame as `detect_in_turns` does, and how sure the detector is of each in every turn.

    Args:
        frames: RGB frames of one size.
        detector: The detector.
        settings: As for `detect_in_turns`.
    """
    if not frames:
        return []
    height, width = frames[0].shape[:2]
    parts: list[list[Detections]] = [[] for _ in frames]
    for turns in range(settings.turns):
        turned = [np.ascontiguousarray(np.rot90(frame, turns)) for frame in frames] if turns else frames
        for place, (boxes, scores) in enumerate(detector(turned)):
            parts[place].append((turn_back(boxes, turns, width, height), scores))
    merged = []
    for found in parts:
        boxes = np.concatenate([boxes for boxes, _ in found]).clip(0, [width, height, width, height])
        scores = np.concatenate([scores for _, scores in found])
        turn_of_box = np.repeat(np.arange(len(found)), [len(scores) for _, scores in found])
        fits = (scores >= settings.min_score) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        boxes, scores = boxes[fits], scores[fits]
        turn_of_box = turn_of_box[fits]
        stays = suppress(boxes, scores, settings.overlap, turn_of_box)
        by_turn = np.zeros((len(stays), settings.turns))
        same = iou(boxes[stays], boxes) > settings.overlap
        for turns in range(settings.turns):
            by_turn[:, turns] = np.where(same & (turn_of_box == turns), scores, 0.0).max(axis=1, initial=0.0)
        merged.append(TurnedPeople(boxes[stays], scores[stays], by_turn))
    return merged


def turn_back(boxes: Boxes, turns: int, width: int, height: int) -> Boxes:
    """Return boxes of a frame that ``np.rot90`` turned, in pixels of the frame itself.

    Args:
        boxes: Boxes in the turned frame.
        turns: Quarter turns counterclockwise.
        width: Of the frame itself.
        height: Of the frame itself.

    Example:
        >>> turn_back(np.array([[10.0, 0.0, 20.0, 5.0]]), 1, 64, 48).tolist()
        [[59.0, 10.0, 64.0, 20.0]]
    """
    x1, y1, x2, y2 = boxes.T
    sides = {
        0: (x1, y1, x2, y2),
        1: (width - y2, x1, width - y1, x2),
        2: (width - x2, height - y2, width - x1, height - y1),
        3: (y1, height - x2, y2, height - x1),
    }
    return np.stack(sides[turns % 4], axis=1)


def suppress(
    boxes: Boxes, scores: NDArray[np.float64], overlap: float, turns: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """Return which boxes stay, the strongest first: a box that overlaps a stronger one too much is left out.

    Two boxes of one turn are two people to the detector, so they may overlap more than boxes of different turns.

    Args:
        boxes: The boxes.
        scores: Their scores.
        overlap: The largest intersection over union that two boxes of different turns may have.
        turns: The turn that each box was found in; by default the overlap is the limit for all.

    Example:
        >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10.0]])
        >>> suppress(boxes, np.array([0.7, 0.9, 0.5]), 0.6).tolist()
        [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    limits = np.full((len(boxes), len(boxes)), overlap)
    if turns is not None:
        limits[turns[:, None] == turns[None, :]] = max(overlap, _SAME_TURN)
    too_close = iou(boxes, boxes) > limits
    stays: list[int] = []
    for place in order.tolist():
        if not too_close[place, stays].any():
            stays.append(place)
    return np.array(stays, dtype=np.intp)


def iou(ones: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return the intersection over union of every box of one array with every box of another."""
    low = np.maximum(ones[:, None, :2], others[None, :, :2])
    high = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    area = (ones[:, 2:] - ones[:, :2]).prod(axis=1)[:, None] + (others[:, 2:] - others[:, :2]).prod(axis=1)[None]
    return shared / np.maximum(area - shared, 1e-9)
