"""Scores collected batch by batch: exact with any number of boxes per clip, in any order, on many processes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ...errors import PredictionError
from ...taxonomy import ACTION_IDS
from .columns import as_array, class_ids
from .rows import ActionRows, encoded
from .scores import har_scores

_Key = tuple[str, int, str]
_Entry = tuple[np.ndarray, np.ndarray, np.ndarray, int]  # box, scores, action ids, place within its frame
AGREE = 1e-2  # the same person computed in two batches may differ by rounding, not by more than this


class HarAccumulator:
    """``update`` in the evaluation loop, ``compute`` once after it, ``reset`` before the next epoch.

    Every person has a key: clip, frame and ``person_id`` (without one, the box). What samplers and padding bring
    twice is recognised by it and counted once; the same key with other scores is an error. ``compute`` first
    collects from all processes when ``torch.distributed`` is running, and every process gets the same result,
    equal to that of one process.

    Keywords are those of ``har_scores``. ``references`` may be given once (a key-frame file, say); without
    it each update carries labels.

    >>> metric = HarAccumulator(protocol="instance")
    >>> metric.update({"video_id": "a_001", "frame": 45, "boxes": [[0, 0, 1, 1]], "scores": [[3.0] + [-3.0] * 49],
    ...                "action_ids": [[1]]})
    >>> metric.compute()["scores"]["map"]
    1.0
    """

    def __init__(self, references: Any = None, **settings: Any) -> None:
        self.references = references
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget everything that was collected."""
        self.entries: dict[_Key, _Entry] = {}
        self.repeated = 0

    def update(self, clips: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None, **columns: Any) -> None:
        """Add key frames: a dictionary, several, or ``video_id=[…], frame=[…], boxes=[…], scores=[…], …``.

        A dictionary holds ``video_id``, ``frame``, ``boxes`` (n, 4), ``scores`` (n, classes) and, unless
        references were given, ``labels`` (n, classes) of 0 and 1 or ``action_ids`` (n lists); ``person_id`` (n) is
        optional. Tensors of any device and dtype, arrays and lists are taken alike.
        """
        if clips is None:
            lengths = {name: len(values) for name, values in columns.items()}
            if not lengths or len(set(lengths.values())) != 1:
                raise PredictionError(f"update() got columns of lengths {lengths}; give one entry per clip in each")
            clips = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        for clip in [clips] if isinstance(clips, Mapping) else clips:
            self._add(clip)

    def compute(self, *, sync: bool = True) -> dict[str, Any]:
        """The result of ``har_scores`` over all that was added, here and (with ``sync``) in other processes."""
        if sync:
            self._collect()
        if not self.entries:
            raise PredictionError("nothing was added; call update() for every batch before compute()")
        references = self if self.references is None else self.references
        return har_scores(self, references, **self.settings)

    def state(self) -> list[tuple[_Key, _Entry]]:
        """What was collected, to be pickled and given to ``merge`` elsewhere."""
        return list(self.entries.items())

    def merge(self, state: Iterable[tuple[_Key, _Entry]]) -> None:
        """Add what another accumulator collected."""
        for key, entry in state:
            self._put(key, entry)

    def har_rows(self, *, references: bool) -> ActionRows:
        """Everything collected as rows, in an order that does not depend on the order of arrival.

        Frames are sorted; persons of a frame stay as their frame gave them, since in the paper's protocol the
        first of overlapping detections claims a box.
        """
        keys = sorted(self.entries, key=lambda key: (key[0], key[1], self.entries[key][3], key[2]))
        entries = [self.entries[key] for key in keys]
        sizes = [entry[2].size if references else entry[1].size for entry in entries]
        which = np.repeat(np.arange(len(keys)), sizes)
        video, videos = encoded([key[0] for key in keys])
        frame = np.array([key[1] for key in keys], dtype=np.int64)
        box = np.stack([entry[0] for entry in entries])
        columns = None
        if references:
            action = np.concatenate([entry[2] for entry in entries])
            score = None
        else:
            action = np.concatenate([self._class_ids(len(entry[1])) for entry in entries])
            score = np.concatenate([entry[1] for entry in entries])
            columns = sizes[0]
        person = which if any(key[2].startswith("person") for key in keys) else None
        name = "accumulated labels" if references else "accumulated scores"
        return ActionRows(
            video[which], videos, frame[which], box[which], action, score, person, name=name, columns=columns
        )

    def _class_ids(self, width: int) -> np.ndarray:
        classes = self.settings.get("classes")
        return class_ids(width, None if isinstance(classes, int) else classes, "update()")

    def _add(self, clip: Mapping[str, Any]) -> None:
        needed = ["video_id", "frame", "boxes", "scores"]
        missing = [name for name in needed if name not in clip]
        if missing:
            raise PredictionError(
                f"update() got no {missing[0]!r}; a clip needs {', '.join(needed)}, it has {list(clip)}"
            )
        video, frame = str(clip["video_id"]), int(clip["frame"])
        boxes = np.asarray(as_array(clip["boxes"]), dtype=np.float64).reshape(-1, 4)
        scores = np.asarray(as_array(clip["scores"]), dtype=np.float64)
        if not len(boxes) and not scores.size:
            return
        if scores.ndim != 2 or len(scores) != len(boxes):
            raise PredictionError(
                f"update(): clip {video!r} has {len(boxes)} boxes and scores of shape {scores.shape}; "
                "give (boxes, classes)"
            )
        labels = self._labels(clip, video, scores.shape)
        persons = clip.get("person_id")
        names = (
            [f"person {int(person):09d}" for person in as_array(persons)]
            if persons is not None
            else ["box " + " ".join(f"{side:.4f}" for side in box) for box in boxes]
        )
        if len(names) != len(boxes):
            raise PredictionError(f"update(): clip {video!r} has {len(boxes)} boxes and {len(names)} person ids")
        for place, (name, box, score, label) in enumerate(zip(names, boxes, scores, labels, strict=True)):
            self._put((video, frame, name), (box, score, label, place))

    def _labels(self, clip: Mapping[str, Any], video: str, shape: tuple[int, ...]) -> list[np.ndarray]:
        if "action_ids" in clip:
            labels = [np.asarray(as_array(ids), dtype=np.int64).reshape(-1) for ids in clip["action_ids"]]
        elif "labels" in clip:
            table = np.asarray(as_array(clip["labels"]))
            if table.shape != shape:
                raise PredictionError(
                    f"update(): clip {video!r} has labels of shape {table.shape} for scores of shape {shape}; "
                    "labels are 0 or 1 per box and class, action ids go into action_ids"
                )
            ids = self._class_ids(shape[1])
            labels = [ids[row > 0.5] for row in table]
        elif self.references is None:
            raise PredictionError(
                f"update(): clip {video!r} has neither 'labels' nor 'action_ids'; "
                "add them, or give HarAccumulator(references=…)"
            )
        else:
            labels = [np.empty(0, dtype=np.int64)] * shape[0]
        if len(labels) != shape[0]:
            raise PredictionError(f"update(): clip {video!r} has {shape[0]} boxes and labels for {len(labels)}")
        return labels

    def _put(self, key: _Key, entry: _Entry) -> None:
        known = self.entries.setdefault(key, entry)
        if known is entry:
            return
        self.repeated += 1
        one, two = known[1], entry[1]
        if one.shape != two.shape or not np.allclose(one, two, rtol=AGREE, atol=AGREE, equal_nan=True):
            raise PredictionError(
                f"clip {key[0]!r}, frame {key[1]}, {key[2]} came twice with different scores; "
                "reset() between epochs, and give person_id where persons share a box"
            )

    def _collect(self) -> None:
        """Entries of all processes, lowest rank first; a process that already has them all changes nothing."""
        torch = sys.modules.get("torch")
        distributed = getattr(torch, "distributed", None)
        if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
            return
        states: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(states, self.state())
        self.entries = {}
        for state in states:
            self.merge(state)


def labels_of(action_ids: Iterable[int]) -> np.ndarray:
    """A row of 0 and 1 over the 50 classes.

    >>> labels_of([1, 80]).nonzero()[0].tolist()
    [0, 49]
    """
    return np.isin(np.asarray(ACTION_IDS), list(action_ids)).astype(np.float32)
