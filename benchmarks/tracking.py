"""Compare the tracker of `microg4m curate` with BoT-SORT (of the package `trackers`) on scenes whose answer is known.

    python -m benchmarks.tracking --peer-python ENV/bin/python [--scenes 200] [--out FILE]

The environment ``ENV`` has `trackers`; both get the same detections and the same numbers, and no motion of the camera.
A scene has three to six people who cross each other for 90 frames; detections shake, are missing, are weak while one
person hides another, and some are false. Scores are those of CLEAR MOT (switches, misses, false alarms, MOTA) and IDF1.

Beside the sums there are the means over scenes with their standard deviation, and the mean of the differences between
the trackers on the same scene with its 95 % interval. Variants of our tracker show what each of its rules does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.effort import describe_machine
from microg4m_hf.curate.people import tracker
from microg4m_hf.curate.people.quarter_turns import iou
from microg4m_hf.curate.people.tracker import _predict, assign
from microg4m_hf.curate.protocols import TrackSettings

RULES = ("gate inside the assignment", "lost people keep their size")
FRAMES, WIDTH, HEIGHT = 90, 640, 480
PEER = """
import json, sys
import numpy as np, supervision as sv
from trackers import BoTSORTTracker
answers = []
for scene in json.load(sys.stdin):
    tracker = BoTSORTTracker(
        lost_track_buffer=30, track_activation_threshold=0.6, high_conf_det_threshold=0.5, enable_cmc=False,
        minimum_iou_threshold_first_assoc=0.2, minimum_iou_threshold_second_assoc=0.5,
        minimum_iou_threshold_unconfirmed_assoc=0.3,
    )
    ids = []
    for frame in scene:
        boxes = np.array(frame["boxes"], dtype=np.float32).reshape(-1, 4)
        given = sv.Detections(xyxy=boxes, confidence=np.array(frame["scores"], dtype=np.float32),
                              data={"place": np.arange(len(boxes))})
        result = tracker.update(given)
        found = [-1] * len(boxes)
        for place, number in zip(result.data.get("place", []), result.tracker_id):
            found[int(place)] = int(number)
        ids.append(found)
    answers.append(ids)
print(json.dumps(answers))
"""


def make_scene(seed: int) -> tuple[list[dict[str, Any]], list[dict[int, list[float]]]]:
    """Return the detections and the true boxes of every frame."""
    rng = np.random.default_rng(seed)
    people = int(rng.integers(3, 7))
    size = np.stack([rng.uniform(40, 80, people), rng.uniform(90, 200, people)], axis=1)
    start = np.stack([rng.uniform(60, WIDTH - 60, people), rng.uniform(120, HEIGHT - 120, people)], axis=1)
    goal = np.stack([rng.uniform(60, WIDTH - 60, people), start[:, 1] + rng.uniform(-60, 60, people)], axis=1)
    depth = rng.permutation(people)
    detections, truth = [], []
    for frame in range(FRAMES):
        center = start + (goal - start) * frame / FRAMES
        boxes = np.concatenate([center - size / 2, center + size / 2], axis=1)
        truth.append({person: box.tolist() for person, box in enumerate(boxes)})
        found, scores = [], []
        for person, box in enumerate(boxes):
            nearer = depth < depth[person]
            hidden = _share_hidden(box, boxes[nearer]) if nearer.any() else 0.0
            if hidden > 0.8 or rng.random() < 0.03:
                continue
            found.append((box + rng.normal(0, 1.5, 4)).tolist())
            scores.append(float(np.clip(rng.normal(0.85 - 0.7 * hidden, 0.06), 0.05, 0.99)))
        if rng.random() < 0.1:
            corner = rng.uniform([0, 0], [WIDTH - 60, HEIGHT - 120])
            found.append([*corner, *(corner + rng.uniform(30, 100, 2))])
            scores.append(float(rng.uniform(0.1, 0.7)))
        detections.append({"boxes": found, "scores": scores})
    return detections, truth


def _share_hidden(box: np.ndarray, others: np.ndarray) -> float:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return float(((high - low).clip(0).prod(axis=1) / (box[2:] - box[:2]).prod()).max())


def score(
    detections: list[dict[str, Any]], truth: list[dict[int, list[float]]], ids: list[list[int]]
) -> dict[str, int]:
    """Count misses, false alarms and switches as CLEAR MOT does, for boxes that overlap by at least half."""
    counts = {"people": 0, "misses": 0, "false alarms": 0, "switches": 0}
    last: dict[int, int] = {}
    for found, people, numbers in zip(detections, truth, ids, strict=True):
        kept = [place for place, number in enumerate(numbers) if number >= 0]
        boxes = np.array([found["boxes"][place] for place in kept]).reshape(-1, 4)
        names = list(people)
        cost = 1 - iou(np.array([people[name] for name in names]), boxes)
        for row, name in enumerate(names):  # a pair of the frame before stays a pair where it still fits
            for column, place in enumerate(kept):
                if last.get(name) == numbers[place] and cost[row, column] <= 0.5:
                    cost[row, column] = 0
        pairs, lost, rest = assign(cost, 0.5)
        counts["people"] += len(names)
        counts["misses"] += len(lost)
        counts["false alarms"] += len(rest)
        for row, column in pairs:
            number = numbers[kept[column]]
            counts["switches"] += last.get(names[row], number) != number
            last[names[row]] = number
    return counts


def idf1(detections: list[dict[str, Any]], truth: list[dict[int, list[float]]], ids: list[list[int]]) -> float:
    """Return IDF1: each person gets the one id that follows them in most frames, for boxes that overlap by half."""
    numbers = sorted({number for frame in ids for number in frame if number >= 0})
    names = sorted({name for frame in truth for name in frame})
    together = np.zeros((len(names), len(numbers)))
    for found, people, frame in zip(detections, truth, ids, strict=True):
        kept = [place for place, number in enumerate(frame) if number >= 0]
        boxes = np.array([found["boxes"][place] for place in kept]).reshape(-1, 4)
        overlaps = iou(np.array(list(people.values())), boxes)
        for row, name in enumerate(people):
            for column, place in enumerate(kept):
                together[names.index(name), numbers.index(frame[place])] += overlaps[row, column] >= 0.5
    rows, columns = linear_sum_assignment(together, maximize=True)
    people, tracked = sum(map(len, truth)), sum(number >= 0 for frame in ids for number in frame)
    return float(2 * together[rows, columns].sum() / (people + tracked))


def summarize(scenes: list[Any], answers: list[list[list[int]]]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the sums over all scenes with means and deviations, and the values of every scene."""
    counts = [score(*scene, ids) for scene, ids in zip(scenes, answers, strict=True)]
    totals: dict[str, Any] = {key: sum(one[key] for one in counts) for key in counts[0]}
    errors = [one["misses"] + one["false alarms"] + one["switches"] for one in counts]
    totals["MOTA"] = round(1 - sum(errors) / totals["people"], 4)
    each = {
        "switches": np.array([one["switches"] for one in counts], dtype=float),
        "MOTA": np.array([1 - wrong / one["people"] for wrong, one in zip(errors, counts, strict=True)]),
        "IDF1": np.array([idf1(*scene, ids) for scene, ids in zip(scenes, answers, strict=True)]),
    }
    totals["a scene"] = {name: f"{values.mean():.4f} ± {values.std(ddof=1):.4f}" for name, values in each.items()}
    return totals, each


def unlike_ours(rule: str, scenes: list[Any]) -> list[list[list[int]]]:
    """Return the answers of our tracker without one of its rules."""
    saved = {name: getattr(tracker, name) for name in ("assign", "_predict")}
    if rule == "gate inside the assignment":
        tracker.assign = assign_then_gate
    else:
        tracker._predict = predict_size_too
    try:
        return our_answers(scenes)
    finally:
        for name, value in saved.items():
            setattr(tracker, name, value)


def assign_then_gate(cost: np.ndarray, limit: float) -> tuple[list[tuple[int, int]], list[int], np.ndarray]:
    """Assign without a limit, and take pairs above it apart afterwards."""
    rows, columns = linear_sum_assignment(cost)
    pairs = [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if cost[row, column] <= limit]
    left = sorted(set(range(cost.shape[0])) - {row for row, _ in pairs})
    return pairs, left, np.array(sorted(set(range(cost.shape[1])) - {column for _, column in pairs}), dtype=np.intp)


def predict_size_too(track: Any) -> None:
    """Let the size of a lost person grow or shrink on."""
    is_lost, track.lost = track.lost, False
    _predict(track)
    track.lost = is_lost


def our_answers(scenes: list[Any]) -> list[list[list[int]]]:
    """Return the ids of our tracker for every scene."""
    answers = []
    for detections, _ in scenes:
        given = [(np.array(one["boxes"]).reshape(-1, 4), np.array(one["scores"])) for one in detections]
        answers.append([ids.tolist() for ids in tracker.track_people(given, TrackSettings())])
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tracking.json")
    args = parser.parse_args()
    scenes = [make_scene(seed) for seed in range(args.scenes)]
    ours = our_answers(scenes)
    given = json.dumps([detections for detections, _ in scenes])
    ran = subprocess.run([args.peer_python, "-W", "ignore", "-c", PEER], input=given, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(ran.stderr)
    theirs = json.loads(ran.stdout)
    version = subprocess.run(
        [args.peer_python, "-c", "from importlib.metadata import version; print(version('trackers'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    result = describe_machine("numpy", "scipy") | {"scenes": args.scenes, "frames": FRAMES, "trackers": version}
    each: dict[str, dict[str, np.ndarray]] = {}
    answers = {"microg4m_hf": ours, "BoT-SORT": theirs}
    answers |= {f"microg4m_hf without: {rule}": unlike_ours(rule, scenes) for rule in RULES}
    for name, answer in answers.items():
        result[name], each[name] = summarize(scenes, answer)
        print(name, result[name])
    differences = {}
    for name in ("switches", "MOTA", "IDF1"):
        values = each["microg4m_hf"][name] - each["BoT-SORT"][name]
        differences[name] = f"{values.mean():+.4f} ± {1.96 * values.std(ddof=1) / len(values) ** 0.5:.4f}"
    result["microg4m_hf minus BoT-SORT, mean of the scenes with its 95 % interval"] = differences
    print(differences)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
