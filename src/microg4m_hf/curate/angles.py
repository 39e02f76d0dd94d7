"""How the people of a clip are turned: what reviewers marked, else the quarter turn in which the detector was surest.

An angle is that of `microg4m_hf.data.orientation`: degrees clockwise from the upward direction of the picture to the
head of the person. A release has the angles in an extra file, so the released columns stay as they are.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .people.quarter_turns import iou
from .reviews import Box, Mark
from .work import Work

FILE = "orientation.csv"
REVIEWER, DETECTOR = "reviewer", "detector"  # where an angle comes from
_NEAR = 7  # frames on each side whose scores are added: half a second in all
_SAME = 0.5  # overlap of a box with a detection
_CLEAR = 1.5  # how many times surer the detector must be in one turn than in any other: see benchmarks/curate.py


class Angle(NamedTuple):
    """The angle of a person in one frame, and where it comes from."""

    degrees: float
    origin: str


def find_angles(boxes: Sequence[Box], marks: Sequence[Mark], detected: Mapping[str, Any] | None) -> dict[int, Angle]:
    """Return the angle of a person in each frame where it is known.

    Args:
        boxes: The boxes of the person.
        marks: What a reviewer marked. With marks, what the detector found does not count.
        detected: The content of ``people/<video_id>.json``.
    """
    if marks:
        return marked_angles(marks, [box.frame for box in boxes])
    return detected_angles(boxes, detected) if detected is not None else {}


def read_detected(work: Work, video_id: str) -> dict[str, Any] | None:
    """Return the content of ``people/<video_id>.json``; None where there is no such file, as after an import."""
    return work.result("people", video_id) if work.result_path("people", video_id).is_file() else None


def marked_angles(marks: Sequence[Mark], frames: Sequence[int]) -> dict[int, Angle]:
    """Return the angles between the marks of a reviewer: a person turns the shorter way around, at a constant rate.

    Before the first mark and after the last one the angle is that of the mark. From a mark without an angle on,
    nothing is known until the next one.

    Args:
        marks: Frames with angles, in the order of the frames.
        frames: The frames of the person.

    Example:
        >>> found = marked_angles([(1, 0.0), (11, 270.0), (20, None)], [1, 6, 11, 15, 20, 30])
        >>> {frame: angle.degrees for frame, angle in found.items()}
        {1: 0.0, 6: 315.0, 11: 270.0, 15: 270.0}
    """
    found = {}
    places = [frame for frame, _ in marks]
    for frame in frames:
        place = max(bisect.bisect_right(places, frame) - 1, 0)
        start, angle = marks[place]
        if angle is None:
            continue
        after, goal = marks[place + 1] if place + 1 < len(marks) else (start, None)
        if goal is not None and frame > start:
            way = (goal - angle + 180) % 360 - 180
            angle += way * (frame - start) / (after - start)
        found[frame] = Angle(round(angle % 360, 1) % 360, REVIEWER)
    return found


def detected_angles(boxes: Sequence[Box], detected: Mapping[str, Any]) -> dict[int, Angle]:
    """Return for each frame the quarter turn that makes a person upright, as far as the scores of the detector tell.

    A detector is surest of upright people. The scores of each turn are added over half a second, because those of a
    single frame waver. Nothing is known where the detector is about as sure in two turns, as of a face in close-up, or
    where it looked at the upright picture only.

    Args:
        boxes: The boxes of the person.
        detected: The content of ``people/<video_id>.json``.
    """
    scores = {frame["frame_id"]: frame for frame in detected["frames"] if frame.get("turns")}
    frames, rows = [], []
    for box in boxes:
        seen = scores.get(box.frame)
        if seen is None:
            continue
        overlaps = iou(np.array([box.corners]), np.array(seen["boxes"], dtype=np.float64)[:, :4])[0]
        best = int(overlaps.argmax())
        if overlaps[best] >= _SAME:
            frames.append(box.frame)
            rows.append(seen["turns"][best])
    if not rows:
        return {}
    places, by_turn = np.array(frames), np.array(rows, dtype=np.float64)
    found = {}
    for box in boxes:
        near = np.abs(places - box.frame) <= _NEAR
        sums = by_turn[near].sum(axis=0)
        second, best = np.sort(sums)[-2:]
        if best > 0 and best >= _CLEAR * second:
            found[box.frame] = Angle(90.0 * int(sums.argmax()), DETECTOR)
    return found
