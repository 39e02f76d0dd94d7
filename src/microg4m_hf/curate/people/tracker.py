"""A tracker in two stages: sure detections first, then weak ones for the people who are left, by overlap and motion.

The association is that of ByteTrack, the motion model and the numbers are those of BoT-SORT without appearance: a
Kalman filter of center and size, and overlaps weighted by the score of the detection. Two things differ on purpose, see
`benchmarks/tracking.py`: a person has the id from the first frame on, not from the second, and somebody who is lost at
the place of somebody visible, as behind them, is not forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..protocols import TrackSettings
from .callables import Boxes, Detections
from .quarter_turns import iou

Array = NDArray[np.float64]
# Moves a point from one frame to the next: (2, 3), as camera motion is estimated.
CameraMotion = Callable[[int], Array]

_WEAK_MATCH, _UNSURE_MATCH = 0.5, 0.7
_POSITION, _VELOCITY = 1 / 20, 1 / 160


@dataclass
class _Track:
    """A person as the filter sees them: ``mean`` is center, size and their changes per frame."""

    mean: Array
    covariance: Array
    first: int
    last: int
    confirmed: bool
    number: int = 0
    lost: bool = field(default=False)

    @property
    def box(self) -> Array:
        x, y, w, h = self.mean[:4]
        return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


def track_people(
    detections: Sequence[Detections], settings: TrackSettings, camera: CameraMotion | None = None
) -> list[NDArray[np.int64]]:
    """Return an id for every box of every frame, counted from 1; -1 for boxes of no person.

    Args:
        detections: Boxes and scores of each frame.
        settings: The section ``tracks``.
        camera: Returns how the picture moved between the frame before and this one.

    Example:
        >>> frames = [(np.array([[10.0 + i, 10, 50 + i, 90]]), np.array([0.9])) for i in range(4)]
        >>> [ids.tolist() for ids in track_people(frames, TrackSettings())]
        [[1], [1], [1], [1]]
    """
    tracker = _Tracker(settings)
    found = []
    for frame, (boxes, scores) in enumerate(detections):
        found.append(tracker.step(frame, boxes, scores, camera(frame) if camera is not None and frame else None))
    ghosts = np.array(sorted(set(range(1, tracker.count + 1)) - tracker.confirmed), dtype=np.int64)
    return [np.where(np.isin(ids, ghosts), -1, ids) for ids in found]


class _Tracker:
    def __init__(self, settings: TrackSettings) -> None:
        self.settings = settings
        self.tracks: list[_Track] = []
        self.count = 0
        self.confirmed: set[int] = set()  # numbers of people who were seen twice, or in the first frame

    def step(self, frame: int, boxes: Boxes, scores: Array, motion: Array | None) -> NDArray[np.int64]:
        ids = np.full(len(boxes), -1, dtype=np.int64)
        for track in self.tracks:
            _predict(track)
            if motion is not None:
                _move(track, motion)
        sure = np.flatnonzero(scores >= self.settings.high)
        weak = np.flatnonzero((scores >= self.settings.low) & (scores < self.settings.high))

        known = [track for track in self.tracks if track.confirmed]
        cost = 1 - iou(_boxes_of(known), boxes[sure]) * scores[sure]
        pairs, left, rest = assign(cost, self.settings.match)
        self._update(frame, ids, boxes, [(known[row], sure[column]) for row, column in pairs])

        visible = [known[row] for row in left if not known[row].lost]
        pairs, left, _ = assign(1 - iou(_boxes_of(visible), boxes[weak]), _WEAK_MATCH)
        self._update(frame, ids, boxes, [(visible[row], weak[column]) for row, column in pairs])
        for row in left:
            visible[row].lost = True

        sure = sure[rest]
        unsure = [track for track in self.tracks if not track.confirmed]
        cost = 1 - iou(_boxes_of(unsure), boxes[sure]) * scores[sure]
        pairs, left, rest = assign(cost, _UNSURE_MATCH)
        self._update(frame, ids, boxes, [(unsure[row], sure[column]) for row, column in pairs])
        gone = {id(unsure[row]) for row in left}
        gone |= {id(track) for track in self.tracks if track.lost and frame - track.last > self.settings.buffer}
        self.tracks = [track for track in self.tracks if id(track) not in gone]

        for column in sure[rest]:
            if scores[column] >= self.settings.new:
                self.count += 1
                self.tracks.append(_begin(boxes[column], frame, self.count))
                ids[column] = self.count
                if frame == 0:
                    self.confirmed.add(self.count)
        return ids

    def _update(self, frame: int, ids: NDArray[np.int64], boxes: Boxes, pairs: list[tuple[_Track, np.intp]]) -> None:
        for track, place in pairs:
            _correct(track, boxes[place])
            track.last, track.confirmed, track.lost = frame, True, False
            ids[place] = track.number
            self.confirmed.add(track.number)


def assign(cost: Array, limit: float) -> tuple[list[tuple[int, int]], list[int], NDArray[np.intp]]:
    """Return the cheapest pairs of rows and columns, in which no pair costs more than ``limit``; and what is left over.

    Leaving a row and a column alone costs ``limit``, so a pair above it never helps.

    Example:
        >>> pairs, rows, columns = assign(np.array([[0.1, 0.9], [0.2, 0.3]]), 0.8)
        >>> pairs, rows, columns.tolist()
        ([(0, 0), (1, 1)], [], [])
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = cost.shape
    if not rows or not columns:
        return [], list(range(rows)), np.arange(columns)
    padded = np.full((rows + columns, rows + columns), limit / 2)
    padded[:rows, :columns] = cost
    padded[rows:, columns:] = 0
    chosen = zip(*linear_sum_assignment(padded), strict=True)
    pairs = [(int(r), int(c)) for r, c in chosen if r < rows and c < columns and cost[r, c] <= limit]
    used_rows, used_columns = {row for row, _ in pairs}, {column for _, column in pairs}
    left = [row for row in range(rows) if row not in used_rows]
    return pairs, left, np.array([column for column in range(columns) if column not in used_columns], dtype=np.intp)


def _boxes_of(tracks: list[_Track]) -> Boxes:
    return np.array([track.box for track in tracks]).reshape(-1, 4)


# The Kalman filter: noise grows with the size of the person.

_STEP = np.eye(8) + np.eye(8, k=4)


def _noise(mean: Array, position: float, velocity: float) -> Array:
    size = np.array([mean[2], mean[3], mean[2], mean[3]])
    return np.diag(np.concatenate([size * position, size * velocity]) ** 2)


def _begin(box: Array, frame: int, number: int) -> _Track:
    mean = np.concatenate([_center(box), np.zeros(4)])
    covariance = _noise(mean, 2 * _POSITION, 10 * _VELOCITY)
    return _Track(mean, covariance, frame, frame, confirmed=frame == 0, number=number)


def _predict(track: _Track) -> None:
    if track.lost:
        track.mean[6:] = 0
    noise = _noise(track.mean, _POSITION, _VELOCITY)
    track.mean = _STEP @ track.mean
    track.covariance = _STEP @ track.covariance @ _STEP.T + noise


def _correct(track: _Track, box: Array) -> None:
    spread = track.covariance[:4, :4] + _noise(track.mean, _POSITION, 0)[:4, :4]
    gain = np.linalg.solve(spread, track.covariance[:4]).T
    track.mean = track.mean + gain @ (_center(box) - track.mean[:4])
    track.covariance = track.covariance - gain @ spread @ gain.T


def _move(track: _Track, motion: Array) -> None:
    """Follow the camera: rotate and scale the state, and shift the center."""
    turn = np.kron(np.eye(4), motion[:, :2])
    track.mean = turn @ track.mean
    track.mean[:2] += motion[:, 2]
    track.covariance = turn @ track.covariance @ turn.T


def _center(box: Array) -> Array:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]])
