"""Turn columns of any input into checked ``ActionRows``: names, numbers, boxes, actions, scores."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import Origin
from ...taxonomy import ACTION_IDS, NUM_ACTIONS, NUM_AVA_CLASSES
from .arrays import as_array, encode_strings, to_matrix
from .rows import FRAME_LIMIT, ActionRows

SIDES = ("x1", "y1", "x2", "y2")
FLAT = ("video_id", "frame", *SIDES, "action_id")
_OTHER_NAMES = {
    "frame": ("frame_stamp", "frame_id", "key_frame", "timestamp"),
    "video_id": ("video",),
    "action_id": ("action", "action_ids"),
    "label": ("labels",),
    "score": ("scores", "logits"),
    "box": ("boxes", "bbox", "key_box"),
    "person_id": ("person", "persons", "person_ids"),
    "x1": ("xmin",),
    "y1": ("ymin",),
    "x2": ("xmax",),
    "y2": ("ymax",),
}


def rename_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Rename columns to the names used here, in the same order: ``xmin`` becomes ``x1``, ``scores`` becomes ``score``.

    >>> list(rename_columns({"video_id": [], "frame_stamp": [], "scores": []}))
    ['video_id', 'frame', 'score']
    """
    name_of = {other: name for name, others in _OTHER_NAMES.items() for other in others if name not in columns}
    return {name_of.get(column, column): values for column, values in columns.items()}


def rows_from_columns(
    columns: Mapping[str, Any],
    origin: Origin,
    *,
    action_ids: Sequence[int] | None = None,
    first_line: int | None = None,
) -> ActionRows:
    """Build rows from flat columns, or from one entry per box with a list of scores or labels."""
    named = rename_columns(columns)
    if "actions" in named and not {"action_id", "label", "score"} & set(named):
        raise origin.error(
            "column 'actions' is ambiguous: rows of the dataset hold packed labels in it, other files released ids",
            "name it labels (packed, 0 to 49) or action_ids (released, 1 to 80)",
        )
    missing = [column for column in ("video_id", "frame", *(() if "box" in named else SIDES)) if column not in named]
    if missing:
        needed = "action_id" if origin.references else "action_id, score or scores"
        raise origin.error(
            f"column {missing[0]!r} is missing; the columns are {list(columns)}",
            f"give video_id, frame, x1, y1, x2, y2 and {needed}",
        )
    video, videos = _read_videos(named["video_id"], origin)
    frame, boxes = _read_frames(named["frame"], origin), _read_boxes(named, origin)
    count = len(video)
    for column, values in (("frame", frame), ("box", boxes)):
        if len(values) != count:
            problem = f"column {column!r} has {len(values)} entries where video_id has {count}"
            raise origin.error(problem, "give one entry per row in every column")
    person, domain = _read_persons(named, count), _read_domains(named, video, len(videos))
    index: np.ndarray | None
    score = width = None
    if origin.references:
        index, action = _read_labels(named, origin, count)
    else:
        index, action, score, width = _read_scores(named, origin, count, action_ids)
    if index is not None:
        video, frame, boxes = video[index], frame[index], boxes[index]
        person = None if person is None else person[index]
    return ActionRows(video, videos, frame, boxes, action, score, person, domain, origin, first_line, width)


def class_ids(width: int, action_ids: Sequence[int] | None, name: str) -> np.ndarray:
    """Return the action of each column of a score matrix: ``action_ids``, the 50 in order, or AVA's 80.

    >>> class_ids(50, None, "scores")[:3].tolist()
    [1, 3, 5]
    """
    if action_ids is not None and len(action_ids) == width:
        return np.asarray(action_ids, dtype=np.int64)
    if width == NUM_ACTIONS:
        return np.asarray(ACTION_IDS)
    if width == NUM_AVA_CLASSES:
        return np.arange(1, NUM_AVA_CLASSES + 1)
    raise Origin(name).error(
        f"{width} scores per box",
        f"a box has {NUM_ACTIONS} scores (MicroG-4M, ids ascending) or {NUM_AVA_CLASSES} (AVA); "
        "for others pass classes=, the action id of each",
    )


def _read_videos(values: Any, origin: Origin) -> tuple[np.ndarray, tuple[str, ...]]:
    hint = "write it as released, e.g. 'Apollo13_032'"
    try:
        codes, videos = encode_strings(values)
    except TypeError as error:
        raise origin.error(f"a video_id is not a string: {error}", hint) from None
    if any(not video for video in videos):
        raise origin.error("a video_id is empty", hint)
    return codes, videos


def _to_floats(values: Any, column: str, origin: Origin) -> np.ndarray:
    """Return a float64 array, or raise an error that names the first value that is not a number."""
    plain = as_array(values)
    try:
        if isinstance(plain, (list, tuple)):
            plain = [as_array(value) for value in plain]
        return np.asarray(plain, dtype=np.float64)
    except (TypeError, ValueError):
        bad = next((value for value in _flatten(plain) if not _is_number(value)), None)
        problem = "has entries of different lengths" if bad is None else f"holds {bad!r}, which is not a number"
        hint = "every entry must be a number, and all lists of one length"
        raise origin.error(f"column {column!r} {problem}", hint) from None


def _flatten(values: Any) -> Any:
    for value in values:
        if isinstance(value, (list, tuple, np.ndarray)):
            yield from _flatten(value)
        else:
            yield value


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _to_integers(values: np.ndarray, column: str, origin: Origin) -> np.ndarray:
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    bad = ~(np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < FRAME_LIMIT))
    if bad.any():
        row = int(bad.argmax())
        raise origin.error(f"row {row}: {column} {float(values[row])!r} is not a whole number", "give an integer")
    return values.astype(np.int64)


def _read_frames(values: Any, origin: Origin) -> np.ndarray:
    """Return frame numbers; ``1``, ``"0001"`` and ``1.0`` are the same frame."""
    plain = as_array(values)
    if not (isinstance(plain, np.ndarray) and plain.dtype.kind in "iu"):
        plain = _to_floats(plain, "frame", origin)
    result = _to_integers(plain, "frame", origin)
    if result.size and (result.min() < 0 or result.max() >= FRAME_LIMIT):
        raise origin.error(f"frame {int(result.min())} is negative or too large", "frames count from 0")
    return result


def _read_boxes(named: dict[str, Any], origin: Origin) -> np.ndarray:
    if "box" in named:
        boxes = _to_floats(named["box"], "box", origin)
        if boxes.size == 0:
            return boxes.reshape(-1, 4)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise origin.error(f"boxes have the shape {boxes.shape}", "give x1, y1, x2, y2 of each box")
        return boxes
    sides = [_to_floats(named[side], side, origin) for side in SIDES]
    lengths = {side.size for side in sides}
    if len(lengths) > 1:
        raise origin.error(f"columns x1, y1, x2, y2 have {sorted(lengths)} entries", "give one entry per row")
    return np.stack(sides, axis=1) if sides[0].size else np.empty((0, 4))


def _read_persons(named: dict[str, Any], count: int) -> np.ndarray | None:
    """Return persons as numbers that mean the same in predictions and references."""
    if "person_id" not in named:
        return None
    plain = np.asarray(as_array(named["person_id"]))
    if plain.shape != (count,):
        return None
    if plain.dtype.kind not in "iu":
        return np.array([zlib.crc32(str(value).encode()) for value in plain], dtype=np.int64)
    return plain.astype(np.int64)


def _read_domains(named: dict[str, Any], video: np.ndarray, videos: int) -> np.ndarray | None:
    plain = as_array(named.get("domain", ()))
    if "domain" not in named or len(plain) != len(video):
        return None
    result = np.full(videos, "", dtype=object)
    result[video] = [str(value) for value in plain]
    return result


def _read_labels(named: dict[str, Any], origin: Origin, count: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Return action ids and, where entries are lists of them, the entry that each belongs to."""
    if "action_id" in named and "label" in named:
        raise origin.error(
            "columns 'action_id' and 'label' both name the actions",
            "give one of them: action_ids (released, 1 to 80) or labels (packed, 0 to 49)",
        )
    packed = "action_id" not in named
    if packed and "label" not in named:
        raise origin.error("column 'action_id' is missing", "give the action of each box")
    column = "label" if packed else "action_id"
    plain = as_array(named[column])
    table = _multi_hot_table(plain) if packed else None
    if table is not None and len(table) == count:
        row, place = np.nonzero(table)
        return row, class_ids(table.shape[1], None, origin.name)[place]
    index: np.ndarray | None = None
    if len(plain) and not np.isscalar(plain[0]) and np.ndim(plain[0]) == 1:
        lists = [np.asarray(as_array(entry)) for entry in plain]
        index = np.repeat(np.arange(count), [entry.size for entry in lists])
        plain = np.concatenate(lists)
    ids = read_ids(plain, origin, packed=packed)
    if index is None and len(ids) != count:
        raise origin.error(f"{len(ids)} action ids for {count} rows", "give one entry per row")
    return index, ids


def read_ids(values: Any, origin: Origin, *, packed: bool, classes: Sequence[int] = ACTION_IDS) -> np.ndarray:
    """Return released action ids, from released ids or from packed indices into ``classes``.

    The two cannot be told apart by a single value (29 of the 50 indices are also released ids), so they have different
    names in every input, and values that the name excludes are refused.

    >>> read_ids([0, 49], Origin("labels"), packed=True).tolist()
    [1, 80]
    """
    column, plain = "label" if packed else "action_id", as_array(values)
    if isinstance(plain, np.ndarray) and plain.dtype.kind == "b":
        hint = "give numbers; a table of 0 and 1 for all classes goes into labels"
        raise origin.error(f"column {column!r} holds true and false", hint)
    ids = _to_integers(_to_floats(plain, column, origin), column, origin)
    if packed:
        if ids.size and (ids.min() < 0 or ids.max() >= len(classes)):
            wrong = int(ids.min() if ids.min() < 0 else ids.max())
            raise origin.error(
                f"label {wrong} is outside 0..{len(classes) - 1}", "labels are packed; released ids go into action_ids"
            )
        return np.asarray(classes)[ids]
    if ids.size and (ids.min() < 1 or ids.max() > NUM_AVA_CLASSES):
        wrong = int(ids.min() if ids.min() < 1 else ids.max())
        hint = "use the ids of label_map.pbtxt (1 to 80); packed indices (0 to 49) go into labels"
        raise origin.error(f"{wrong} is not an action id", hint)
    return ids


def _multi_hot_table(labels: Any) -> np.ndarray | None:
    """Return labels as a table of 0 and 1 per box and class, if that is what they are (lists of labels are shorter)."""
    try:
        table = np.asarray([as_array(row) for row in labels] if isinstance(labels, (list, tuple)) else labels)
    except ValueError:  # lists of different lengths
        return None
    if table.ndim != 2 or table.shape[1] not in (NUM_ACTIONS, NUM_AVA_CLASSES) or table.dtype.kind not in "biuf":
        return None
    return table if np.isin(table, (0, 1)).all() else None


def _read_scores(
    named: dict[str, Any], origin: Origin, count: int, action_ids: Sequence[int] | None
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray, int | None]:
    """Return the entry of each score (None for flat columns), its action, the score, and the width of a matrix."""
    if "score" not in named:
        raise origin.error("column 'score' is missing", "give score with action_id, or scores, one list per box")
    scores = to_matrix(named["score"]) if "action_id" not in named else None
    if scores is None:
        scores = _to_floats(named["score"], "score", origin)
    if scores.ndim == 1 and "action_id" in named:
        ids = _to_integers(_to_floats(named["action_id"], "action_id", origin), "action_id", origin)
        if len(ids) != count or len(scores) != count:
            problem = f"{len(ids)} action ids and {len(scores)} scores for {count} rows"
            raise origin.error(problem, "one of each per row")
        return None, ids, scores, None
    if scores.size == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0), NUM_ACTIONS
    if scores.ndim != 2 or len(scores) != count:
        raise origin.error(f"scores have the shape {scores.shape} for {count} boxes", "give one list of scores per box")
    ids = class_ids(scores.shape[1], action_ids, origin.name)
    return np.repeat(np.arange(count), len(ids)), np.tile(ids, count), scores.ravel(), len(ids)
