"""Score batch by batch: exact with any number of boxes per clip, in any order, on many processes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...errors import Origin, PredictionError, list_some
from .arrays import as_array, encode_strings
from .columns import class_ids, read_ids
from .rows import ActionRows
from .scores import check_settings, har_scores

TOLERANCE = 1e-2  # by how much the scores of one person may differ between two batches


class _Key(NamedTuple):
    video: str
    frame: int
    name: str  # of the person


class _Person(NamedTuple):
    box: np.ndarray
    scores: np.ndarray
    action_ids: np.ndarray
    place: int  # within its frame


class HarAccumulator:
    """Collect scores: ``update`` in the evaluation loop, ``compute`` once after it, ``reset`` before the next epoch.

    Every person has a key: clip, frame and ``person_id`` (without one, the box). A person that samplers or padding
    repeat is counted once; the same key with other scores is an error. ``compute`` first gathers from all processes
    when ``torch.distributed`` is running, and every process gets the same result, equal to that of one process.

    Args:
        references: The labeled boxes, in any form that ``read_rows`` lists. Without them every update needs labels.
        settings: Keywords of ``har_scores``.

    Raises:
        PredictionError: A keyword or its value is not known; nobody has to wait for the end of an epoch to see it.

    Example:
        >>> metric = HarAccumulator(protocol="instance")
        >>> metric.update({"video_id": "a_001", "frame": 45, "boxes": [[0, 0, 1, 1]], "scores": [[3.0] + [-3.0] * 49],
        ...                "action_ids": [[1]]})
        >>> metric.compute()["scores"]["map"]
        1.0
    """

    def __init__(self, references: Any = None, **settings: Any) -> None:
        check_settings(settings)
        self.references = references
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        """Remove everything that was collected."""
        self.entries: dict[_Key, _Person] = {}
        self.repeated = 0

    def update(self, clips: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None, **columns: Any) -> None:
        """Add key frames.

        Args:
            clips: A dictionary or several, each with ``video_id``, ``frame``, ``boxes`` (n, 4), ``scores``
                (n, classes) and, without references, ``labels`` (packed: (n, classes) of 0 and 1, or n lists of
                indices) or ``action_ids`` (n lists of released ids); ``person_id`` (n) is optional. Values are tensors
                of any device and dtype, arrays or lists.
            columns: The same as columns: ``video_id=[…], frame=[…], boxes=[…], scores=[…], …``.

        Raises:
            PredictionError: A key is missing, shapes do not fit, or a person comes again with other scores.
        """
        if clips is None:
            lengths = {name: len(values) for name, values in columns.items()}
            if not lengths or len(set(lengths.values())) != 1:
                raise PredictionError(f"update() got columns of lengths {lengths}; give one entry per clip in each")
            clips = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        for clip in [clips] if isinstance(clips, Mapping) else clips:
            self._add(clip)

    def compute(self, *, sync: bool = True) -> dict[str, Any]:
        """Return the result of ``har_scores`` over everything added, here and (with ``sync``) in other processes."""
        if sync:
            self._gather()
        if not self.entries:
            raise PredictionError("nothing was added; call update() for every batch before compute()")
        references = self if self.references is None else self.references
        return har_scores(self, references, **self.settings)

    def state(self) -> list[tuple[_Key, _Person]]:
        """Return what was collected, to pickle and pass to ``merge`` in another process."""
        return list(self.entries.items())

    def merge(self, state: Iterable[tuple[_Key, _Person]]) -> None:
        """Add what another accumulator collected."""
        for key, person in state:
            self._put(key, person)

    def har_rows(self, *, references: bool) -> ActionRows:
        """Return everything collected as rows, in an order that does not depend on the order of the updates.

        Frames are sorted. Persons of a frame keep their order, because the first of overlapping detections claims a
        box in the paper's protocol.
        """
        keys = sorted(self.entries, key=lambda key: (key.video, key.frame, self.entries[key].place, key.name))
        persons = [self.entries[key] for key in keys]
        video, videos = encode_strings([key.video for key in keys])
        frame = np.array([key.frame for key in keys], dtype=np.int64)
        box = np.stack([person.box for person in persons])
        if references:
            actions, score = [person.action_ids for person in persons], None
        else:
            actions = [self._class_ids(len(person.scores)) for person in persons]
            score = np.concatenate([person.scores for person in persons])
        index = np.repeat(np.arange(len(keys)), [ids.size for ids in actions])
        return ActionRows(
            video[index],
            videos,
            frame[index],
            box[index],
            np.concatenate(actions),
            score,
            person=index if any(key.name.startswith("person") for key in keys) else None,
            origin=Origin("accumulated labels" if references else "accumulated scores", references),
            columns=None if references else actions[0].size,
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
        labels = self._read_labels(clip, video, scores.shape)
        persons = clip.get("person_id")
        names = (
            [f"person {int(person):09d}" for person in as_array(persons)]
            if persons is not None
            else ["box " + " ".join(f"{side:.4f}" for side in box) for box in boxes]
        )
        if len(names) != len(boxes):
            raise PredictionError(
                f"update(): clip {video!r} has {len(boxes)} boxes and {len(names)} person ids; give one for each"
            )
        for place, (name, box, score, label) in enumerate(zip(names, boxes, scores, labels, strict=True)):
            self._put(_Key(video, frame, name), _Person(box, score, label, place))

    def _read_labels(self, clip: Mapping[str, Any], video: str, shape: tuple[int, ...]) -> list[np.ndarray]:
        count, width = shape
        ids, origin = self._class_ids(width), Origin(f"update(): clip {video!r}")
        if "action_ids" in clip and "labels" in clip:
            raise origin.error("has both action_ids (released) and labels (packed)", "give one of them")
        if "action_ids" in clip:
            labels = [read_ids(entry, origin, packed=False).reshape(-1) for entry in clip["action_ids"]]
            foreign = sorted(set(np.concatenate(labels or [ids]).tolist()) - set(ids.tolist()))
            if foreign:
                raise origin.error(
                    f"action ids {list_some(map(str, foreign))} are not among the {width} classes",
                    "action_ids are released ids; packed indices go into labels",
                )
        elif "labels" in clip:
            labels = self._unpack(as_array(clip["labels"]), ids, origin)
        elif self.references is None:
            raise PredictionError(
                f"update(): clip {video!r} has neither 'labels' nor 'action_ids'; "
                "add them, or give HarAccumulator(references=…)"
            )
        else:
            labels = [np.empty(0, dtype=np.int64)] * count
        if len(labels) != count:
            raise PredictionError(
                f"update(): clip {video!r} has {count} boxes and labels for {len(labels)}; give one row each"
            )
        return labels

    def _unpack(self, values: Any, ids: np.ndarray, origin: Origin) -> list[np.ndarray]:
        """Return the action ids of packed labels: a table of 0 and 1, or a list of indices for each box."""
        rows = [np.asarray(as_array(row)) for row in values]
        if all(row.shape == ids.shape for row in rows):
            table = np.array(rows).reshape(len(rows), ids.size)
            if not np.isin(table, (0, 1)).all():
                raise origin.error("a table of labels holds other values than 0 and 1", "round or threshold it first")
            return [ids[row > 0.5] for row in table]
        if any(row.dtype.kind not in "iu" for row in rows if row.size) or any(row.ndim > 1 for row in rows):
            raise origin.error(
                f"has labels of shapes {sorted({row.shape for row in rows})} for {ids.size} classes",
                "labels are packed: 0 or 1 per class, or a list of indices; released ids go into action_ids",
            )
        return [read_ids(np.atleast_1d(row), origin, packed=True, classes=ids.tolist()) for row in rows]

    def _put(self, key: _Key, person: _Person) -> None:
        known = self.entries.setdefault(key, person)
        if known is person:
            return
        self.repeated += 1
        one, two = known.scores, person.scores
        if one.shape != two.shape or not np.allclose(one, two, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            raise PredictionError(
                f"clip {key.video!r}, frame {key.frame}, {key.name} came twice with different scores; "
                "reset() between epochs, and give person_id where persons share a box"
            )

    def _gather(self) -> None:
        """Merge the entries of all processes, lowest rank first; doing so again changes nothing."""
        torch = sys.modules.get("torch")
        distributed = getattr(torch, "distributed", None)
        if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
            return
        states: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(states, self.state())
        self.entries = {}
        for state in states:
            self.merge(state)
