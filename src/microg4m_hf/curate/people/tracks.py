"""The stage ``tracks``: give detections ids, choose the boxes of each person, and number people as they appear."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.video.clip import open_clip
from ...errors import ModelError, RecipeError
from ..protocols import TrackSettings
from ..work import ClipRecord, Work
from .callables import Detections, is_callable_name, load_callable
from .motion import HIGH_MOTION, camera_motion, motion_of
from .quarter_turns import read_detections
from .tracker import track_people

# frame_id, person_id, x1, y1, x2, y2, score, whether the box was made up from others
Row = list[Any]
# Every n-th frame, detections before a person counts, and how many times the smallest area.
_LOW, _HIGH = (5, 3, 1), (3, 2, 2)
_ALONE = 0.5  # of the frame: a person larger than this is the only one who is kept


def make_tracks(work: Work, clip: ClipRecord, people_sha256: str) -> dict[str, Any]:
    """Write ``tracks/<video_id>.json`` and return the record of the stage ``tracks``.

    Args:
        work: The work folder.
        clip: The clip.
        people_sha256: The hash of the detections.
    """
    settings = work.settings.tracks
    content = work.result("people", clip.video_id)
    detections = read_detections(content)
    looked_at = [frame["frame_id"] - 1 for frame in content["frames"]]
    gray = _gray_frames(clip) if settings.camera_motion or settings.boxes == "held" else None
    ids = _ids(detections, looked_at, settings, gray if settings.camera_motion else None)
    seen = [(frame, *detections[frame], ids[place]) for place, frame in enumerate(looked_at)]
    area = content["width"] * content["height"]
    notes: dict[str, Any] = {}
    if settings.boxes == "held":
        motion = motion_of(gray) if gray is not None else 0.0
        notes["motion"] = round(motion, 2)
        rows = hold_boxes(seen, settings, area, len(detections), high_motion=motion > HIGH_MOTION)
    else:
        rows = fill_gaps(seen, settings, area)
    size = {"video_id": clip.video_id, "width": content["width"], "height": content["height"]}
    key = work.result_key("tracks", people_sha256)
    sha256 = work.write_result("tracks", clip.video_id, key, {**size, **notes, "boxes": rows})
    return {
        "status": "ok",
        "result": [{"sha256": sha256, "people": len({row[1] for row in rows}), "boxes": len(rows), **notes}],
    }


def _gray_frames(clip: ClipRecord) -> NDArray[np.uint8]:
    with open_clip(clip.path) as opened:
        frames = opened.frames(range(len(opened)))
    return (frames @ np.array([0.299, 0.587, 0.114], dtype=np.float32)).round().astype(np.uint8)


def _ids(
    detections: list[Detections], looked_at: list[int], settings: TrackSettings, gray: NDArray[np.uint8] | None
) -> list[NDArray[np.int64]]:
    given = [detections[frame] for frame in looked_at]
    if is_callable_name(settings.method):
        return _checked_ids(load_callable(settings.method, "tracks.method")(given), given, settings.method)
    if settings.method != "two-stage":
        raise RecipeError(f"tracks.method is {settings.method!r}, it can be 'two-stage' or 'module:function'")
    camera: Callable[[int], NDArray[np.float64]] | None = None
    if gray is not None:
        frames = gray[looked_at]
        camera = lambda frame: camera_motion(frames, frame)  # noqa: E731
    return track_people(given, settings, camera)


def _checked_ids(returned: Any, given: list[Detections], name: str) -> list[NDArray[np.int64]]:
    try:
        ids = [np.asarray([-1 if one is None else one for one in frame], dtype=np.int64) for frame in returned]
    except (TypeError, ValueError, OverflowError):
        raise ModelError(f"{name} returned {returned!r:.80}; it must return the ids of each frame") from None
    if [len(frame) for frame in ids] != [len(boxes) for boxes, _ in given]:
        raise ModelError(
            f"{name} returned another number of ids than of boxes; it must return one for each, -1 for none"
        )
    return ids


Seen = Sequence[tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]]


def fill_gaps(seen: Seen, settings: TrackSettings, area: float) -> list[Row]:
    """Return the boxes of every frame: measured ones, and between two of a person straight lines over short gaps.

    Args:
        seen: Frame (from 0), boxes, scores and ids of every frame that the detector saw.
        settings: The section ``tracks``.
        area: Pixels of the frame.
    """
    of_person: dict[int, list[tuple[int, list[float], float]]] = defaultdict(list)
    for frame, boxes, scores, ids in seen:
        for box, score, person in zip(boxes.tolist(), scores.tolist(), ids.tolist(), strict=True):
            size = (box[2] - box[0]) * (box[3] - box[1])
            if person >= 0 and score >= settings.min_score and size >= settings.min_area * area:
                of_person[person].append((frame, box, score))
    step = min((later[0] - one[0] for one, later in itertools.pairwise(seen)), default=1)
    longest = max(settings.gap + 1, step)
    rows: list[Row] = []
    for person, places in of_person.items():
        if len(places) * step < settings.min_frames:
            continue
        for (frame, box, score), (after, goal, score_after) in zip(places, [*places[1:], places[-1]], strict=True):
            rows.append([frame + 1, person, *(round(value, 2) for value in box), score, False])
            if after - frame <= longest:
                for between in range(frame + 1, after):
                    share = (between - frame) / (after - frame)
                    line = [round(a + share * (b - a), 2) for a, b in zip(box, goal, strict=True)]
                    rows.append([between + 1, person, *line, min(score, score_after), True])
    return number_people(rows)


def hold_boxes(seen: Seen, settings: TrackSettings, area: float, length: int, *, high_motion: bool) -> list[Row]:
    """Return the boxes as the authors chose them: every third or fifth frame counts, its boxes are held until the next.

    A clip with high motion looks at every third frame, for people of twice the smallest area whom two of these frames
    show; another one at every fifth, and three of them. Corners are cut to whole pixels.

    Args:
        seen: As for `fill_gaps`.
        settings: The section ``tracks``.
        area: Pixels of the frame.
        length: Frames of the clip.
        high_motion: Whether the clip moves a lot.
    """
    step, enough, times = _HIGH if high_motion else _LOW
    by_frame = {frame + 1: found for frame, *found in seen}
    count: dict[int, int] = defaultdict(int)
    held: list[tuple[int, list[int], float]] = []
    rows: list[Row] = []
    for frame in range(1, length + 1):
        if frame % step == 0 and frame in by_frame:
            held = []
            for box, score, person in zip(*(part.tolist() for part in by_frame[frame]), strict=True):
                size = (box[2] - box[0]) * (box[3] - box[1]) / area
                if person >= 0 and score > settings.min_score and size >= settings.min_area * times:
                    count[person] += 1
                    held.append((person, [int(value) for value in box], size))
            largest = max(held, key=lambda one: one[2], default=None)
            if largest is not None and largest[2] > _ALONE:
                held = [largest]
            scores = dict(zip(by_frame[frame][2].tolist(), by_frame[frame][1].tolist(), strict=True))
            held = [one for one in held if count[one[0]] >= enough]
        rows += [[frame, person, *box, scores[person], frame % step != 0] for person, box, _ in held]
    return number_people(rows)


def number_people(rows: list[Row]) -> list[Row]:
    """Return the boxes sorted by frame, with the people numbered from 1 as they appear.

    Example:
        >>> number_people([[2, 7, 0, 0, 5, 5, 0.9, False], [1, 9, 0, 0, 5, 5, 0.9, False]])
        [[1, 1, 0, 0, 5, 5, 0.9, False], [2, 2, 0, 0, 5, 5, 0.9, False]]
    """
    numbers: dict[int, int] = {}
    for row in sorted(rows, key=lambda row: (row[0], row[1])):
        numbers.setdefault(row[1], len(numbers) + 1)
    return sorted(([row[0], numbers[row[1]], *row[2:]] for row in rows), key=lambda row: (row[0], row[1]))
