"""A small random split with labeled boxes and scores, and naive ways to score it."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from microg4m_hf.taxonomy import ACTION_IDS

IDS = (1, 12, 14, 79, 80)


def draw(
    seed: int = 0, clips: int = 12, sources: int = 4, persons: int = 2, ids: tuple[int, ...] = IDS, ties: bool = False
) -> tuple[list[tuple], list[tuple]]:
    """Draw rows of references (with a person) and of predictions: a score for every box and action of ``ids``."""
    random = np.random.RandomState(seed)
    truth, found = [], []
    for number in range(clips):
        video, frame = f"film{number % sources}_{number:03d}", 50 + number % 3
        for person in range(1 + random.randint(persons)):
            x1, y1 = np.round(random.rand(2) * 0.2 + 0.5 * (person % 2), 3)
            box = (float(x1), float(y1), float(np.round(x1 + 0.25, 3)), float(np.round(y1 + 0.3, 3)))
            labels = [action for action in ids if random.rand() < 0.4] or [ids[0]]
            truth += [(video, frame, *box, action, person) for action in labels]
            for action in ids:
                score = random.randn() + (action in labels)
                found.append((video, frame, *box, action, float(np.round(score, 0 if ties else 6))))
    return truth, found


def dense(rows: list[tuple]) -> list[dict]:
    """Return one dictionary per key frame with 50 scores."""
    frames: dict[tuple, dict] = {}
    for video, frame, x1, y1, x2, y2, action, score in rows:
        clip = frames.setdefault((video, frame), {"video_id": video, "frame": frame, "boxes": [], "scores": []})
        if [x1, y1, x2, y2] not in clip["boxes"]:
            clip["boxes"].append([x1, y1, x2, y2])
            clip["scores"].append([-9.0] * 50)
        clip["scores"][clip["boxes"].index([x1, y1, x2, y2])][ACTION_IDS.index(action)] = score
    return list(frames.values())


def labeled(rows: list[tuple]) -> list[dict]:
    """Return one dictionary per key frame with action ids."""
    frames: dict[tuple, dict] = {}
    for video, frame, x1, y1, x2, y2, action, *_ in rows:
        clip = frames.setdefault((video, frame), {"video_id": video, "frame": frame, "boxes": [], "action_ids": []})
        if [x1, y1, x2, y2] not in clip["boxes"]:
            clip["boxes"].append([x1, y1, x2, y2])
            clip["action_ids"].append([])
        clip["action_ids"][clip["boxes"].index([x1, y1, x2, y2])].append(action)
    return list(frames.values())


def naive_f1_recall_precision_auroc(positive: list[bool], score: list[float], cut: float) -> tuple[float, ...]:
    """Compute the scores by definition: from counts, and from every pair of a positive and a negative."""
    hits = sum(p and s >= cut for p, s in zip(positive, score, strict=True))
    predicted, labels = sum(s >= cut for s in score), sum(positive)
    recall = hits / labels if labels else 0.0
    precision = hits / predicted if predicted else 0.0
    f1 = 2 * hits / (predicted + labels) if predicted + labels else 0.0
    wins = [
        (s > t) + (s == t) / 2 for (p, s), (q, t) in product(zip(positive, score, strict=True), repeat=2) if p and not q
    ]
    return f1, recall, precision, sum(wins) / len(wins) if wins else math.nan
