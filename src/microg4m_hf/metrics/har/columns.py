"""Columns of any input into checked rows: names, numbers, boxes, actions, scores."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ...taxonomy import ACTION_IDS, NUM_ACTIONS, NUM_AVA_CLASSES
from .rows import FRAME_LIMIT, ActionRows, encoded, fail, to_numpy

SIDES = ("x1", "y1", "x2", "y2")
FLAT = ("video_id", "frame", *SIDES, "action_id")
_OTHER_NAMES = {
    "frame": ("frame_stamp", "frame_id", "key_frame", "timestamp"),
    "video_id": ("video",),
    "action_id": ("action", "action_ids", "actions"),
    "label": ("labels",),
    "score": ("scores", "logits"),
    "box": ("boxes", "bbox", "key_box"),
    "person_id": ("person", "persons", "person_ids"),
    "x1": ("xmin",),
    "y1": ("ymin",),
    "x2": ("xmax",),
    "y2": ("ymax",),
}


def as_array(values: Any) -> Any:
    """Numpy from whatever holds numbers: a tensor (any device or dtype, with gradient), an Arrow column, a list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if "bfloat16" in str(values.dtype):
            values = values.float()
        return values.numpy()
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        plain = to_numpy(values)
        return values.to_pylist() if plain is None else plain
    return values


def known_names(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns under the names used here, in the same order: ``xmin`` becomes ``x1``, ``scores`` becomes ``score``, …

    >>> list(known_names({"video_id": [], "frame_stamp": [], "scores": []}))
    ['video_id', 'frame', 'score']
    """
    name_of = {other: name for name, others in _OTHER_NAMES.items() for other in others if name not in columns}
    return {name_of.get(column, column): values for column, values in columns.items()}


def rows_from_columns(
    columns: Mapping[str, Any], name: str, *, references: bool, action_ids: Sequence[int] | None = None, **more: Any
) -> ActionRows:
    """One row per box and action from flat columns, or from one entry per box with a list of scores or labels."""
    named = known_names(columns)
    wanted = ["video_id", "frame"] + ([] if "box" in named else list(SIDES))
    missing = [column for column in wanted if column not in named]
    if missing:
        raise fail(
            name,
            f"column {missing[0]!r} is missing; the columns are {list(columns)}",
            "needed: video_id, frame, x1, y1, x2, y2 and "
            + ("action_id" if references else "action_id, score or scores"),
            references=references,
        )
    video, videos = _videos(named["video_id"], name, references)
    frame = frames(named["frame"], name, references)
    boxes = _boxes(named, name, references)
    count = len(video)
    for column, values in (("frame", frame), ("box", boxes)):
        if len(values) != count:
            raise fail(
                name,
                f"column {column!r} has {len(values)} entries where video_id has {count}",
                "give one entry per row in every column",
                references=references,
            )
    person = _persons(named, count)
    more["domain"] = _domains(named, video, len(videos))
    if references:
        which, action = _labels(named, name, count)
        score = None
    else:
        which, action, score, width = _scores(named, name, count, action_ids)
        more["columns"] = width
    if which is not None:
        video, frame, boxes = video[which], frame[which], boxes[which]
        person = None if person is None else person[which]
    return ActionRows(video, videos, frame, boxes, action, score, person, name=name, **more)


def _videos(values: Any, name: str, references: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        codes, videos = encoded(values)
    except TypeError as error:
        raise fail(
            name,
            f"a video_id is not a string: {error}",
            "write it as released, e.g. 'Apollo13_032'",
            references=references,
        ) from None
    if any(not video for video in videos):
        raise fail(name, "a video_id is empty", "write it as released, e.g. 'Apollo13_032'", references=references)
    return codes, videos


def numbers(values: Any, column: str, name: str, references: bool, shape: str = "") -> np.ndarray:
    """A float64 array, or an error that names the first value that is no number."""
    plain = as_array(values)
    try:
        if isinstance(plain, (list, tuple)):
            plain = [as_array(value) for value in plain]
        return np.asarray(plain, dtype=np.float64)
    except (TypeError, ValueError):
        bad = next((value for value in _flat(plain) if not _is_number(value)), None)
        problem = (
            f"column {column!r} holds {bad!r}, which is no number"
            if bad is not None
            else (f"column {column!r} has entries of different lengths{shape}")
        )
        raise fail(
            name, problem, "every entry must be a number, and all lists of one length", references=references
        ) from None


def _flat(values: Any) -> Any:
    for value in values:
        if isinstance(value, (list, tuple, np.ndarray)):
            yield from _flat(value)
        else:
            yield value


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def whole(values: np.ndarray, column: str, name: str, references: bool) -> np.ndarray:
    """Integers from numbers that must be whole and in range."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    bad = ~(np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < FRAME_LIMIT))
    if bad.any():
        row = int(bad.argmax())
        raise fail(
            name,
            f"row {row}: {column} {float(values[row])!r} is no whole number",
            "give an integer",
            references=references,
        )
    return values.astype(np.int64)


def frames(values: Any, name: str, references: bool) -> np.ndarray:
    """Frame numbers; ``1``, ``"0001"`` and ``1.0`` are the same frame."""
    plain = as_array(values)
    if not (isinstance(plain, np.ndarray) and plain.dtype.kind in "iu"):
        plain = numbers(plain, "frame", name, references)
    result = whole(plain, "frame", name, references)
    if result.size and (result.min() < 0 or result.max() >= FRAME_LIMIT):
        raise fail(
            name, f"frame {int(result.min())} is negative or too large", "frames count from 0", references=references
        )
    return result


def _boxes(named: dict[str, Any], name: str, references: bool) -> np.ndarray:
    if "box" in named:
        boxes = numbers(named["box"], "box", name, references)
        if boxes.size == 0:
            return boxes.reshape(-1, 4)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise fail(
                name,
                f"boxes have the shape {boxes.shape}",
                "a box is x1, y1, x2, y2: four numbers",
                references=references,
            )
        return boxes
    sides = [numbers(named[side], side, name, references) for side in SIDES]
    lengths = {side.size for side in sides}
    if len(lengths) > 1:
        raise fail(
            name,
            f"columns x1, y1, x2, y2 have {sorted(lengths)} entries",
            "give one entry per row",
            references=references,
        )
    return np.stack(sides, axis=1) if sides[0].size else np.empty((0, 4))


def _persons(named: dict[str, Any], count: int) -> np.ndarray | None:
    """Persons as numbers that mean the same in predictions and references, whatever they are called."""
    if "person_id" not in named:
        return None
    plain = np.asarray(as_array(named["person_id"]))
    if plain.shape != (count,):
        return None
    if plain.dtype.kind not in "iu":
        return np.array([zlib.crc32(str(value).encode()) for value in plain], dtype=np.int64)
    return plain.astype(np.int64)


def _domains(named: dict[str, Any], video: np.ndarray, videos: int) -> np.ndarray | None:
    if "domain" not in named:
        return None
    plain = as_array(named["domain"])
    if len(plain) != len(video):
        return None
    result = np.full(videos, "", dtype=object)
    result[video] = [str(value) for value in plain]
    return result


def _labels(named: dict[str, Any], name: str, count: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Action ids, and for entries with lists of them the entry each belongs to."""
    packed = "action_id" not in named
    if packed and "label" not in named:
        raise fail(name, "column 'action_id' is missing", "references need the action of each box", references=True)
    plain = as_array(named["label" if packed else "action_id"])
    which = None
    table = _multi_hot(plain) if packed else None
    if table is not None and len(table) == count:
        which, column = np.nonzero(table)
        return which, class_ids(table.shape[1], None, name)[column]
    if len(plain) and not np.isscalar(plain[0]) and np.ndim(plain[0]) == 1:
        lists = [np.asarray(as_array(entry)) for entry in plain]
        which = np.repeat(np.arange(count), [entry.size for entry in lists])
        plain = np.concatenate(lists) if lists else np.empty(0)
    ids = whole(numbers(plain, "action_id", name, True), "action_id", name, True)
    if which is None and len(ids) != count:
        raise fail(name, f"{len(ids)} action ids for {count} rows", "give one entry per row", references=True)
    if packed:
        if ids.size and (ids.min() < 0 or ids.max() >= NUM_ACTIONS):
            raise fail(
                name, f"label {int(ids.max())} is outside 0..49", "released ids go into action_id", references=True
            )
        ids = np.asarray(ACTION_IDS)[ids]
    return which, ids


def _multi_hot(labels: Any) -> np.ndarray | None:
    """Labels as a table of 0 and 1 per box and class, if that is what they are (packed labels are far fewer)."""
    try:
        table = np.asarray([as_array(row) for row in labels] if isinstance(labels, (list, tuple)) else labels)
    except ValueError:  # lists of different lengths
        return None
    if table.ndim != 2 or table.shape[1] not in (NUM_ACTIONS, NUM_AVA_CLASSES) or table.dtype.kind not in "biuf":
        return None
    return table if np.isin(table, (0, 1)).all() else None


def _scores(
    named: dict[str, Any], name: str, count: int, action_ids: Sequence[int] | None
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray, int | None]:
    if "score" not in named:
        raise fail(name, "column 'score' is missing", "give score with action_id, or scores, one list per box")
    scores = _score_matrix(named["score"]) if "action_id" not in named else None
    if scores is None:
        scores = numbers(named["score"], "score", name, False)
    if scores.ndim == 1 and "action_id" in named:
        ids = whole(numbers(named["action_id"], "action_id", name, False), "action_id", name, False)
        if len(ids) != count or len(scores) != count:
            raise fail(name, f"{len(ids)} action ids and {len(scores)} scores for {count} rows", "one of each per row")
        return None, ids, scores, None
    if scores.size == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0), NUM_ACTIONS
    if scores.ndim != 2 or len(scores) != count:
        raise fail(name, f"scores have the shape {scores.shape} for {count} boxes", "give one list of scores per box")
    ids = class_ids(scores.shape[1], action_ids, name)
    return np.repeat(np.arange(count), len(ids)), np.tile(ids, count), scores.ravel(), len(ids)


def _score_matrix(values: Any) -> np.ndarray | None:
    """A list column of Arrow as a matrix, when all its lists have one length."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not isinstance(values, pa.Array) or values.null_count or len(values) == 0:
        return None
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        return None
    flat, offsets = to_numpy(values.flatten()), to_numpy(values.offsets)
    if flat is None or offsets is None:
        return None
    lengths = np.diff(offsets)
    if (lengths != lengths[0]).any():
        return None
    return flat.reshape(len(values), int(lengths[0])).astype(np.float64)


def class_ids(width: int, action_ids: Sequence[int] | None, name: str) -> np.ndarray:
    """The action of each column of a score matrix: the 50 in order, or AVA's 80.

    >>> class_ids(50, None, "scores")[:3].tolist()
    [1, 3, 5]
    """
    if action_ids is not None and len(action_ids) == width:
        return np.asarray(action_ids, dtype=np.int64)
    if width == NUM_ACTIONS:
        return np.asarray(ACTION_IDS)
    if width == NUM_AVA_CLASSES:
        return np.arange(1, NUM_AVA_CLASSES + 1)
    raise fail(
        name,
        f"{width} scores per box",
        f"a box has {NUM_ACTIONS} scores (MicroG-4M, ids ascending) or {NUM_AVA_CLASSES} (AVA); "
        "for others pass classes=, the action id of each",
    )
