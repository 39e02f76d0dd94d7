"""A slow frame-mAP with the structure of the TensorFlow-derived evaluator in the released code.

It was written for this project, to compare time and values. It reads rows with ``csv``, keeps a dictionary of lists
per frame, and computes a box list, an overlap matrix and a Python loop over detections for every frame and class.
Equal scores are ranked by ``numpy.argsort``; disable numpy's SIMD sorts (see ``metrics_har.py``) to get the published
order.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np


class BoxList:
    """Boxes with named fields, which are checked on creation."""

    def __init__(self, boxes: np.ndarray) -> None:
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError("boxes must have the shape [N, 4]")
        if boxes.dtype not in (np.float32, np.float64):
            raise ValueError("boxes must be floats")
        if boxes.shape[0] and not (np.all(boxes[:, 0] <= boxes[:, 2]) and np.all(boxes[:, 1] <= boxes[:, 3])):
            raise ValueError("boxes must be (ymin, xmin, ymax, xmax)")
        self.fields = {"boxes": boxes}

    def get(self, field: str = "boxes") -> np.ndarray:
        return self.fields[field]

    def add(self, field: str, values: np.ndarray) -> None:
        self.fields[field] = values

    def area(self) -> np.ndarray:
        y1, x1, y2, x2 = np.split(self.get(), 4, axis=1)
        return ((y2 - y1) * (x2 - x1)).ravel()


def intersection(one: BoxList, two: BoxList) -> np.ndarray:
    y1, x1, y2, x2 = np.split(one.get(), 4, axis=1)
    v1, u1, v2, u2 = np.split(two.get(), 4, axis=1)
    heights = np.maximum(0.0, np.minimum(y2, v2.T) - np.maximum(y1, v1.T))
    widths = np.maximum(0.0, np.minimum(x2, u2.T) - np.maximum(x1, u1.T))
    return heights * widths


def iou(one: BoxList, two: BoxList) -> np.ndarray:
    shared = intersection(one, two)
    return shared / (one.area()[:, None] + two.area()[None, :] - shared)


def ioa(one: BoxList, two: BoxList) -> np.ndarray:
    return intersection(one, two) / two.area()[None, :]


def read(path: Path, whitelist: set[int], scored: bool) -> tuple[dict, dict, dict]:
    boxes, labels, scores = defaultdict(list), defaultdict(list), defaultdict(list)
    with open(path, newline="") as stream:
        for row in csv.reader(stream):
            frame = f"{row[0]},{int(row[1]):04d}"
            x1, y1, x2, y2 = (float(value) for value in row[2:6])
            action = int(row[6])
            if action not in whitelist:
                continue
            boxes[frame].append([y1, x1, y2, x2])
            labels[frame].append(action)
            scores[frame].append(float(row[7]) if scored else 1.0)
    return boxes, labels, scores


class Evaluator:
    """Collect frames one by one; classes are numbered from 0 to the highest id."""

    def __init__(self, classes: int, threshold: float = 0.5) -> None:
        self.classes, self.threshold = classes, threshold
        self.truth: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self.instances = np.zeros(classes, dtype=int)
        self.scores: list[list[np.ndarray]] = [[] for _ in range(classes)]
        self.hits: list[list[np.ndarray]] = [[] for _ in range(classes)]

    def add_truth(self, frame: str, boxes: np.ndarray, labels: np.ndarray) -> None:
        difficult, group_of = np.zeros(len(labels), dtype=bool), np.zeros(len(labels), dtype=bool)
        self.truth[frame] = (boxes, labels, difficult, group_of)
        for label in range(self.classes):
            self.instances[label] += np.sum(labels[~difficult & ~group_of] == label)

    def add_detections(self, frame: str, boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> None:
        valid = np.logical_and(boxes[:, 0] < boxes[:, 2], boxes[:, 1] < boxes[:, 3])
        boxes, labels, scores = boxes[valid], labels[valid], scores[valid]
        flags = np.empty(0, dtype=bool)
        empty = (np.empty((0, 4)), np.empty(0, dtype=int), flags, flags)
        truth_boxes, truth_labels, difficult, group_of = self.truth.get(frame, empty)
        for label in range(self.classes):
            own = labels == label
            truth = truth_labels == label
            found, hit = self.one_class(boxes[own], scores[own], truth_boxes[truth], difficult[truth], group_of[truth])
            if found.size:
                self.scores[label].append(found)
                self.hits[label].append(hit)

    def overlaps(
        self, boxes: np.ndarray, scores: np.ndarray, truth: np.ndarray, group_of: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        detected = BoxList(boxes)
        detected.add("scores", scores)
        single, group = BoxList(truth[~group_of]), BoxList(truth[group_of])
        return iou(detected, single), ioa(group, detected).T, detected.get("scores")

    def one_class(
        self, boxes: np.ndarray, scores: np.ndarray, truth: np.ndarray, difficult: np.ndarray, group_of: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if boxes.size == 0:
            return np.empty(0), np.empty(0, dtype=bool)
        # As in the original, overlaps are computed even where nothing can overlap.
        overlap, inside, found = self.overlaps(boxes, scores, truth, group_of)
        hit = np.zeros(len(found), dtype=bool)
        if truth.size == 0:
            return found, hit
        on_difficult, in_group = np.zeros(len(found), dtype=bool), np.zeros(len(found), dtype=bool)
        if overlap.shape[1] > 0:
            best = np.argmax(overlap, axis=1)
            taken = np.zeros(overlap.shape[1], dtype=bool)
            single_difficult = difficult[~group_of]
            for place in range(len(found)):
                one = best[place]
                if overlap[place, one] >= self.threshold:
                    if single_difficult[one]:
                        on_difficult[place] = True
                    elif not taken[one]:
                        hit[place] = True
                        taken[one] = True
        if inside.shape[1] > 0:
            for place in range(len(found)):
                one = np.argmax(inside[place])
                if not hit[place] and not on_difficult[place] and inside[place, one] >= self.threshold:
                    in_group[place] = True
        kept = ~on_difficult & ~in_group
        return found[kept], hit[kept]

    def precision(self, label: int) -> float:
        if self.instances[label] == 0:
            return float("nan")
        scores = np.concatenate(self.scores[label]) if self.scores[label] else np.empty(0)
        hits = np.concatenate(self.hits[label]) if self.hits[label] else np.empty(0, dtype=bool)
        order = np.argsort(scores)[::-1]
        found = np.cumsum(hits[order].astype(int))
        missed = np.cumsum((~hits[order]).astype(int))
        precision = np.concatenate([[0], found / np.maximum(found + missed, 1), [0]])
        recall = np.concatenate([[0], found / self.instances[label], [1]])
        for place in range(len(precision) - 2, -1, -1):
            precision[place] = max(precision[place], precision[place + 1])
        steps = np.where(recall[1:] != recall[:-1])[0] + 1
        return float(np.sum((recall[steps] - recall[steps - 1]) * precision[steps]))


def slow_frame_ap(references: Path, predictions: Path, action_ids: tuple[int, ...]) -> dict[int, float]:
    """Return the average precision per action of a file."""
    whitelist = set(action_ids)
    evaluator = Evaluator(max(action_ids) + 1)
    boxes, labels, _ = read(references, whitelist, scored=False)
    for frame in boxes:
        evaluator.add_truth(frame, np.array(boxes[frame], dtype=float), np.array(labels[frame], dtype=int))
    boxes, labels, scores = read(predictions, whitelist, scored=True)
    for frame in boxes:
        evaluator.add_detections(
            frame,
            np.array(boxes[frame], dtype=float),
            np.array(labels[frame], dtype=int),
            np.array(scores[frame], dtype=float),
        )
    return {action: evaluator.precision(action) for action in action_ids}
