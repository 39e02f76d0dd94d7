"""Predictions and references as people have them: files, tables, columns, rows, one dictionary per clip."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .columns import FLAT, as_array, known_names, rows_from_columns
from .files import read_csv, read_parquet, rows_from_table
from .rows import ActionRows, fail

_HOW = (
    "give a CSV or Parquet file, columns, rows (video_id, frame, x1, y1, x2, y2, action_id, score), "
    "or one dictionary per clip with video_id, frame, boxes and scores"
)


def read_rows(data: Any, *, references: bool = False, action_ids: Sequence[int] | None = None) -> ActionRows:
    """ActionRows from any of the forms below.

    * a path to ``.csv`` or ``.parquet``;
    * an Arrow table, a pandas frame, a ``datasets.Dataset`` (also the ``har`` config: one row per clip with persons);
    * a mapping of columns, or the columns themselves as a tuple;
    * rows ``(video_id, frame, x1, y1, x2, y2, action_id[, score])``;
    * dictionaries, one per row, per box or per clip (``boxes`` with ``scores``, or with ``action_ids``/``labels``);
    * a mapping ``{video_id: dictionary}``.

    >>> rows = read_rows([("a_001", 1, 0, 0, 1, 1, 12, 0.5)])
    >>> len(rows), rows.videos, rows.action.tolist()
    (1, ('a_001',), [12])
    """
    if isinstance(data, ActionRows):
        return data
    name = "references" if references else "predictions"
    if isinstance(data, (str, os.PathLike)):
        return _read_file(Path(data), references, action_ids)
    if hasattr(data, "har_rows"):  # an accumulator
        return data.har_rows(references=references)
    table = _as_table(data)
    if table is not None:
        if "persons" in table.column_names:
            return _from_dictionaries(_from_clips(table.to_pylist()), name, references, action_ids)
        return rows_from_table(table, name, references=references, action_ids=action_ids)
    if isinstance(data, Mapping):
        if not data:
            raise _empty(name, references)
        if _is_columns(data):
            return _from_columns(data, name, references, action_ids)
        return _from_dictionaries(_with_ids(data), name, references, action_ids)
    if isinstance(data, np.ndarray) and data.dtype.names:
        return _from_columns({field: data[field] for field in data.dtype.names}, name, references, action_ids)
    if not isinstance(data, (list, tuple, np.ndarray)):
        if not isinstance(data, Iterable):
            raise fail(name, f"cannot use {type(data).__name__}", _HOW, references=references)
        data = list(data)
    if len(data) == 0:
        return _no_rows(name, references)
    if isinstance(data[0], Mapping):
        return _from_dictionaries(list(data), name, references, action_ids)
    if _are_columns(data):
        fields = [*FLAT, "person_id" if references else "score"][: len(data)]
        return _from_columns(dict(zip(fields, data, strict=True)), name, references, action_ids)
    return _from_tuples(data, name, references)


def _read_file(path: Path, references: bool, action_ids: Sequence[int] | None) -> ActionRows:
    suffix = path.suffix.lower()
    if suffix in {".csv", ".txt"}:
        return read_csv(path, references=references)
    if suffix == ".parquet":
        return read_parquet(path, references=references, action_ids=action_ids)
    raise fail(
        str(path), f"files {suffix or 'without an ending'} are not read", "give .csv or .parquet", references=references
    )


def _as_table(data: Any) -> pa.Table | None:
    if isinstance(data, pa.Table):
        return data
    if hasattr(data, "with_format") and hasattr(data, "column_names"):  # datasets.Dataset
        kept = [column for column in data.column_names if column != "video"]
        return data.select_columns(kept).with_format("arrow")[:]
    if hasattr(data, "to_numpy") and hasattr(data, "columns"):  # pandas.DataFrame
        return pa.table({str(column): pa.array(data[column].tolist()) for column in data.columns})
    return None


def _is_columns(data: Mapping[str, Any]) -> bool:
    return {"video_id", "frame"} <= set(known_names(data))


def _are_columns(data: Sequence[Any]) -> bool:
    """Columns rather than rows: the first holds only strings, the third none."""
    if not len(FLAT) <= len(data) <= len(FLAT) + 1:
        return False
    first, third = data[0], as_array(data[2])
    if isinstance(first, str) or isinstance(third, str) or np.ndim(third) != 1:
        return False
    if not all(isinstance(value, str) for value in first):
        return False
    return len(third) == 0 or not isinstance(third[0], str)


def _from_columns(data: Mapping[str, Any], name: str, references: bool, action_ids: Sequence[int] | None) -> ActionRows:
    return rows_from_columns(data, name, references=references, action_ids=action_ids)


def _with_ids(data: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Dictionaries of clips from ``{video_id: dictionary or list of dictionaries}``."""
    entries: list[dict[str, Any]] = []
    for video_id, value in data.items():
        several = [value] if isinstance(value, Mapping) else list(value)
        if not all(isinstance(entry, Mapping) for entry in several):
            raise fail("predictions", f"clip {video_id!r} holds {type(several[0]).__name__}", _HOW)
        entries += [{"video_id": video_id, **entry} for entry in several]
    return entries


def _from_clips(clips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One dictionary per person from rows of the ``har`` config."""
    return [
        {
            "video_id": clip["video_id"],
            **({"domain": clip["domain"]} if clip.get("domain") else {}),
            "person_id": person["person_id"],
            "frame": person["key_frame"],
            "box": person["key_box"],
            "labels": person["actions"],
        }
        for clip in clips
        for person in clip["persons"]
        if person["key_frame"] is not None and person["key_frame"] >= 0 and person["key_box"]
    ]


def _from_dictionaries(
    entries: list[dict[str, Any]], name: str, references: bool, action_ids: Sequence[int] | None
) -> ActionRows:
    """ActionRows from one dictionary per row or box, or per clip with ``boxes`` as a list of boxes."""
    columns: dict[str, list[Any]] = {}
    keys = list(known_names(entries[0])) if entries else []
    for place, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise fail(name, f"entry {place} is {type(entry).__name__}, not a dictionary", _HOW, references=references)
        named = known_names(entry)
        for key in keys:
            if key not in named:
                raise fail(
                    name, f"entry {place} has no {key!r}", "every entry needs the same keys", references=references
                )
        for key, values in _per_box(named, name, place, references).items():
            if key in keys:
                columns.setdefault(key, []).extend(values)
    if not columns:
        return _no_rows(name, references)
    return rows_from_columns(columns, name, references=references, action_ids=action_ids)


def _per_box(named: dict[str, Any], name: str, place: int, references: bool) -> dict[str, list[Any]]:
    box = as_array(named.get("box"))
    if box is None or (len(box) == 4 and np.ndim(box[0]) == 0):
        return {key: [value] for key, value in named.items()}
    count = len(box)
    parts = {}
    for key, value in named.items():
        plain = as_array(value)
        if isinstance(plain, (str, bytes)) or np.ndim(plain) == 0 if not isinstance(plain, (list, tuple)) else False:
            parts[key] = [plain] * count
        elif len(plain) != count:
            problem = f"entry {place} (clip {named.get('video_id')!r}) has {count} boxes but {len(plain)} of {key!r}"
            raise fail(name, problem, "give one entry per box", references=references)
        else:
            parts[key] = list(plain)
    return parts


def _from_tuples(data: Any, name: str, references: bool) -> ActionRows:
    width = {len(row) if isinstance(row, (list, tuple, np.ndarray)) else 0 for row in data}
    allowed = (len(FLAT), len(FLAT) + 1) if references else (len(FLAT) + 1,)
    if len(width) != 1 or width.isdisjoint(allowed):
        row = next(
            place
            for place, row in enumerate(data)
            if not isinstance(row, (list, tuple, np.ndarray)) or len(row) not in allowed or len(row) != len(data[0])
        )
        raise fail(
            name,
            f"row {row} is {data[row]!r}"[:200],
            f"a row is ({', '.join(FLAT)}{', …' if references else ', score'})",
            references=references,
        )
    fields = [*FLAT, "person_id" if references else "score"]
    columns = {field: list(values) for field, values in zip(fields, zip(*data, strict=True), strict=False)}
    return rows_from_columns(columns, name, references=references)


def _empty(name: str, references: bool) -> Exception:
    return fail(name, "nothing was given", _HOW, references=references)


def _no_rows(name: str, references: bool) -> ActionRows:
    none = np.empty(0, dtype=np.int64)
    score = None if references else np.empty(0)
    return ActionRows(none, (), none, np.empty((0, 4)), none, score, name=name)
