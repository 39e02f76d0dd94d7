"""``read_rows``: predictions and references from files, tables, columns, rows or one dictionary per clip."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import Origin
from .arrays import as_array
from .columns import FLAT, rename_columns, rows_from_columns
from .files import read_csv, read_parquet, rows_from_table
from .rows import ActionRows

_FORMS = (
    "give a CSV or Parquet file, columns, rows (video_id, frame, x1, y1, x2, y2, action_id, score), "
    "or one dictionary per clip with video_id, frame, boxes and scores"
)


def listed_ids(classes: int | Sequence[int] | None) -> Sequence[int] | None:
    """Return the action of each score in a list, if ``classes`` of ``har_scores`` names them.

    >>> listed_ids(50), listed_ids([12, 14])
    (None, [12, 14])
    """
    return None if isinstance(classes, (int, np.integer)) else classes


def read_rows(data: Any, *, references: bool = False, action_ids: Sequence[int] | None = None) -> ActionRows:
    """Read rows from any of these forms.

    * a path to ``.csv`` or ``.parquet``;
    * an Arrow table, a pandas frame, a ``datasets.Dataset``, also the ``har`` config (one row per clip with persons) or
      a list of its rows;
    * a mapping of columns, or the columns themselves as a tuple;
    * rows ``(video_id, frame, x1, y1, x2, y2, action_id[, score])``;
    * dictionaries, one per row, per box or per clip (``boxes`` with ``scores``, or with ``action_ids``/``labels``);
    * a mapping ``{video_id: dictionary}``.

    Args:
        data: The predictions or references.
        references: Whether ``data`` holds references: labels instead of scores.
        action_ids: The action of each score in a list, for lists that are neither 50 nor 80 long.

    Returns:
        One row per box and action.

    Raises:
        PredictionError: Predictions cannot be read.
        DataError: References cannot be read.

    Example:
        >>> rows = read_rows([("a_001", 1, 0, 0, 1, 1, 12, 0.5)])
        >>> len(rows), rows.videos, rows.action.tolist()
        (1, ('a_001',), [12])
    """
    if isinstance(data, ActionRows):
        return data
    origin = Origin("references" if references else "predictions", references)
    if isinstance(data, (str, os.PathLike)):
        return _read_file(Path(data), references, action_ids)
    if hasattr(data, "har_rows"):  # an accumulator
        return data.har_rows(references=references)
    table = _to_table(data, origin)
    if table is not None:
        if "persons" in table.column_names:
            return _read_dictionaries(split_persons(table.to_pylist()), origin, action_ids)
        return rows_from_table(table, origin, action_ids=action_ids)
    if isinstance(data, np.ndarray) and data.dtype.names:
        return rows_from_columns({field: data[field] for field in data.dtype.names}, origin, action_ids=action_ids)
    if isinstance(data, Mapping):
        if not data:
            raise origin.error("nothing was given", _FORMS)
        if {"video_id", "frame"} <= set(rename_columns(data)):
            return rows_from_columns(data, origin, action_ids=action_ids)
        return _read_dictionaries(_add_video_ids(data, origin), origin, action_ids)
    if not isinstance(data, (list, tuple, np.ndarray)):
        if not isinstance(data, Iterable):
            raise origin.error(f"cannot use {type(data).__name__}", _FORMS)
        data = list(data)
    if len(data) == 0:
        return _no_rows(origin)
    if isinstance(data[0], Mapping) and "persons" in data[0]:
        return _read_dictionaries(split_persons(list(data)), origin, action_ids)
    if isinstance(data[0], Mapping):
        return _read_dictionaries(list(data), origin, action_ids)
    if _are_columns(data):
        fields = [*FLAT, "person_id" if references else "score"][: len(data)]
        return rows_from_columns(dict(zip(fields, data, strict=True)), origin, action_ids=action_ids)
    return _read_tuples(data, origin)


def _read_file(path: Path, references: bool, action_ids: Sequence[int] | None) -> ActionRows:
    suffix = path.suffix.lower()
    if suffix in {".csv", ".txt"}:
        return read_csv(path, references=references)
    if suffix == ".parquet":
        return read_parquet(path, references=references, action_ids=action_ids)
    problem = f"files {suffix or 'without an extension'} are not supported"
    raise Origin(str(path), references).error(problem, "give .csv or .parquet")


def _to_table(data: Any, origin: Origin) -> pa.Table | None:
    if isinstance(data, pa.Table):
        return data
    if hasattr(data, "with_format") and hasattr(data, "column_names"):  # datasets.Dataset
        kept = [column for column in data.column_names if column != "video"]
        _refuse_class_labels(getattr(data, "features", None) or {}, origin)
        return data.select_columns(kept).with_format("arrow")[:]
    if hasattr(data, "to_numpy") and hasattr(data, "columns"):  # pandas.DataFrame
        return pa.table({str(column): pa.array(data[column].tolist()) for column in data.columns})
    return None


def _refuse_class_labels(features: Mapping[str, Any], origin: Origin) -> None:
    """Refuse a column of action ids whose type says that it holds packed indices."""
    for column, kind in features.items():
        while not hasattr(kind, "names") and (isinstance(kind, list) or hasattr(kind, "feature")):
            kind = kind[0] if isinstance(kind, list) else kind.feature
        if hasattr(kind, "names") and "action_id" in rename_columns({column: None}):
            hint = "rename the column to labels; action_ids hold the ids of label_map.pbtxt as plain numbers"
            raise origin.error(f"column {column!r} holds class labels, which are packed indices", hint)


def _are_columns(data: Sequence[Any]) -> bool:
    """Return whether ``data`` holds columns rather than rows: the first holds only strings, the third none."""
    if not len(FLAT) <= len(data) <= len(FLAT) + 1:
        return False
    first, third = data[0], as_array(data[2])
    if isinstance(first, str) or isinstance(third, str) or np.ndim(third) != 1:
        return False
    if not all(isinstance(value, str) for value in first):
        return False
    return len(third) == 0 or not isinstance(third[0], str)


def _add_video_ids(data: Mapping[Any, Any], origin: Origin) -> list[dict[str, Any]]:
    """Return dictionaries of clips from ``{video_id: dictionary or list of dictionaries}``."""
    entries: list[dict[str, Any]] = []
    for video_id, value in data.items():
        several = [value] if isinstance(value, Mapping) else list(value)
        if not all(isinstance(entry, Mapping) for entry in several):
            raise origin.error(f"clip {video_id!r} holds {type(several[0]).__name__}", _FORMS)
        entries += [{"video_id": video_id, **entry} for entry in several]
    return entries


def split_persons(clips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one dictionary per person from rows of the ``har`` config."""
    if any("repeated_actions" not in person for clip in clips for person in clip["persons"]):
        warnings.warn(
            "these rows of the har config have no repeated_actions, because an older version wrote them: labels that "
            "the released file lists twice count once, so paper scores differ from the published ones; load the rows "
            "again, or push the dataset again",
            stacklevel=4,
        )
    return [
        {
            "video_id": clip["video_id"],
            **({"domain": clip["domain"]} if clip.get("domain") else {}),
            "person_id": person["person_id"],
            "frame": person["key_frame"],
            "box": person["key_box"],
            "labels": [*person["actions"], *(person.get("repeated_actions") or ())],
        }
        for clip in clips
        for person in clip["persons"]
        if person["key_frame"] is not None and person["key_frame"] >= 0 and person["key_box"]
    ]


def _read_dictionaries(entries: list[dict[str, Any]], origin: Origin, action_ids: Sequence[int] | None) -> ActionRows:
    """Read one dictionary per row or box, or per clip with ``boxes`` as a list of boxes."""
    columns: dict[str, list[Any]] = {}
    keys = list(rename_columns(entries[0])) if entries else []
    for place, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise origin.error(f"entry {place} is {type(entry).__name__}, not a dictionary", _FORMS)
        named = rename_columns(entry)
        missing = [key for key in keys if key not in named]
        if missing:
            raise origin.error(f"entry {place} has no {missing[0]!r}", "give every entry the same keys")
        for key, values in _split_boxes(named, place, origin).items():
            if key in keys:
                columns.setdefault(key, []).extend(values)
    return rows_from_columns(columns, origin, action_ids=action_ids) if columns else _no_rows(origin)


def _split_boxes(named: dict[str, Any], place: int, origin: Origin) -> dict[str, list[Any]]:
    """Return the columns of one entry, with a value for each of its boxes."""
    box = as_array(named.get("box"))
    if box is None or (len(box) == 4 and np.ndim(box[0]) == 0):
        return {key: [value] for key, value in named.items()}
    count = len(box)
    columns = {}
    for key, value in named.items():
        plain = as_array(value)
        if not isinstance(plain, (list, tuple)) and (isinstance(plain, (str, bytes)) or np.ndim(plain) == 0):
            columns[key] = [plain] * count
        elif len(plain) != count:
            problem = f"entry {place} (clip {named.get('video_id')!r}) has {count} boxes but {len(plain)} of {key!r}"
            raise origin.error(problem, "give one entry per box")
        else:
            columns[key] = list(plain)
    return columns


def _read_tuples(data: Any, origin: Origin) -> ActionRows:
    width = len(FLAT) + 1
    allowed = (len(FLAT), width) if origin.references else (width,)
    lengths = [len(row) if isinstance(row, (list, tuple, np.ndarray)) else 0 for row in data]
    bad = [row for row, length in enumerate(lengths) if length not in allowed or length != lengths[0]]
    if bad:
        hint = f"a row is ({', '.join(FLAT)}{', …' if origin.references else ', score'})"
        raise origin.error(f"row {bad[0]} is {data[bad[0]]!r}"[:200], hint)
    fields = [*FLAT, "person_id" if origin.references else "score"]
    columns = {field: list(values) for field, values in zip(fields, zip(*data, strict=True), strict=False)}
    return rows_from_columns(columns, origin)


def _no_rows(origin: Origin) -> ActionRows:
    none = np.empty(0, dtype=np.int64)
    score = None if origin.references else np.empty(0)
    return ActionRows(none, (), none, np.empty((0, 4)), none, score, origin=origin)
