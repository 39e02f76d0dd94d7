"""Who is who in a clip: the tracker, the boxes of the paper with a known answer, and gaps that are filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.tracking import make_scene, score
from microg4m_hf.curate.people.motion import HIGH_MOTION, motion_of
from microg4m_hf.curate.people.tracker import track_people
from microg4m_hf.curate.people.tracks import fill_gaps, hold_boxes
from microg4m_hf.curate.protocols import CurateSettings, TrackSettings

AREA = 100 * 100
PAPER = CurateSettings.of("paper").tracks
BIG, SMALL, HUGE = [10.9, 10.9, 50.9, 60.9], [10.0, 10.0, 40.0, 25.0], [0.0, 0.0, 90.0, 90.0]  # 20 %, 4.5 %, 81 %


def seen(people: dict[int, tuple[list[float], float]], frames: range = range(90)) -> list[Any]:
    """Return frame, boxes, scores and ids for frames in which the same people stand at the same place."""
    boxes = np.array([box for box, _ in people.values()])
    scores = np.array([score for _, score in people.values()])
    return [(frame, boxes, scores, np.array(list(people))) for frame in frames]


@pytest.mark.parametrize(("high", "first", "key"), [(False, 15, 52), (True, 6, 48)])
def test_the_key_frames_of_the_paper(high: bool, first: int, key: int) -> None:
    """Every 5th frame and 3 detections give frame 52, every 3rd and 2 give 48: most released key frames."""
    rows = hold_boxes(seen({7: (BIG, 0.9)}), PAPER, AREA, 90, high_motion=high)
    frames = [row[0] for row in rows]
    assert frames == list(range(first, 91))
    assert frames[(len(frames) - 1) // 2] == key
    assert {tuple(row[1:6]) for row in rows} == {(1, 10, 10, 50, 60)}  # renumbered, and cut to whole pixels


def test_a_box_is_held_until_the_next_frame_that_counts() -> None:
    moving = [(f, np.array([[f, 0.0, f + 50, 50]]), np.array([0.9]), np.array([1])) for f in range(90)]
    rows = hold_boxes(moving, PAPER, AREA, 90, high_motion=False)
    assert [(row[0], row[2], row[7]) for row in rows[:6]] == [
        (15, 14, False), (16, 14, True), (17, 14, True), (18, 14, True), (19, 14, True), (20, 19, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("box", "score", "high", "kept"),
    [(BIG, 0.55, False, False), (BIG, 0.56, False, True), (SMALL, 0.9, False, False), (BIG, 0.9, True, True)],
)
def test_thresholds_of_the_paper(box: list[float], score: float, high: bool, kept: bool) -> None:
    assert bool(hold_boxes(seen({1: (box, score)}), PAPER, AREA, 90, high_motion=high)) == kept
    smaller = [10.0, 10.0, 50.0, 55.0]  # 18 %: enough where little moves
    assert bool(hold_boxes(seen({1: (smaller, 0.9)}), PAPER, AREA, 90, high_motion=high)) != high


def test_a_person_who_fills_the_frame_is_alone() -> None:
    rows = hold_boxes(seen({3: (BIG, 0.9), 5: (HUGE, 0.8)}), PAPER, AREA, 90, high_motion=False)
    assert {tuple(row[1:6]) for row in rows} == {(1, 0, 0, 90, 90)}


def test_motion_is_the_sum_over_corners() -> None:
    rng = np.random.default_rng(0)
    big = np.kron(rng.integers(0, 255, (40, 60)), np.ones((8, 8))).astype(np.uint8)
    still = np.repeat(big[None, :200, :300], 10, axis=0)
    panned = np.stack([big[:200, 3 * n : 3 * n + 300] for n in range(10)])
    assert motion_of(still) < 1 < HIGH_MOTION < motion_of(panned)


@pytest.mark.parametrize(("missing", "filled"), [(10, True), (11, False)])
def test_short_gaps_are_filled_and_marked(missing: int, filled: bool) -> None:
    frames = [*range(20), *range(20 + missing, 60)]
    moving = [(f, np.array([[f, 0.0, f + 50, 50]]), np.array([0.9]), np.array([4])) for f in frames]
    rows = fill_gaps(moving, TrackSettings(), AREA)
    between = [row for row in rows if 21 <= row[0] <= 20 + missing]
    assert [row[0] for row in between] == (list(range(21, 21 + missing)) if filled else [])
    assert all(row[7] and abs(row[2] - (row[0] - 1)) < 0.01 for row in between)
    assert {row[1] for row in rows} == {1} and not any(row[7] for row in rows if row not in between)


def test_a_person_seen_for_a_moment_is_left_out() -> None:
    assert fill_gaps(seen({1: (BIG, 0.9)}, range(9)), TrackSettings(), AREA) == []
    assert len(fill_gaps(seen({1: (BIG, 0.9)}, range(10)), TrackSettings(), AREA)) == 10


def test_people_keep_their_ids_when_they_cross() -> None:
    switches = people = errors = 0
    for seed in range(6):
        detections, truth = make_scene(seed)
        given = [(np.array(one["boxes"]).reshape(-1, 4), np.array(one["scores"])) for one in detections]
        found = score(detections, truth, [ids.tolist() for ids in track_people(given, TrackSettings())])
        switches, people = switches + found["switches"], people + found["people"]
        errors += found["misses"] + found["false alarms"] + found["switches"]
    assert switches <= 1 and 1 - errors / people > 0.9


def test_one_id_survives_a_gap_of_ten_frames_and_a_false_alarm_gets_none() -> None:
    frames = []
    for number in range(60):
        boxes = [[100.0 + 2 * number, 50, 160 + 2 * number, 200]] if not 20 <= number < 30 else []
        boxes += [[400.0, 300, 440, 380]] if number == 40 else []
        frames.append((np.array(boxes).reshape(-1, 4), np.full(len(boxes), 0.9)))
    ids = track_people(frames, TrackSettings())
    assert {int(frame[0]) for frame in ids if len(frame)} == {1}
    assert ids[40].tolist() == [1, -1]


def test_somebody_who_passes_behind_another_person_keeps_the_id() -> None:
    """While one is hidden, both are expected at the same place; the one who is not seen is not forgotten."""
    frames = []
    for number in range(50):
        boxes = [[200.0, 100, 260, 250]]
        if not 18 <= number <= 32:
            boxes.append([100.0 + 4 * number, 100, 160 + 4 * number, 250])
        frames.append((np.array(boxes), np.full(len(boxes), 0.9)))
    ids = track_people(frames, TrackSettings())
    assert {tuple(frame) for frame in ids} == {(1,), (1, 2)}
