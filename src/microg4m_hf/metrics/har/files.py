"""The prediction file of our own runners: Parquet, one row per person, all scores of it in one list.

Columns: ``video_id``, ``frame``, ``person_id``, ``x1 y1 x2 y2`` (fractions), ``scores`` (a list of 50 or 80).
The file's metadata says under ``microg4m`` what made it, as JSON: model, revision, whether scores are logits, …
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ...storage import write_atomic
from .columns import FLAT, SIDES, as_array, known_names, rows_from_columns
from .rows import ActionRows, fail, from_numpy

METADATA = b"microg4m"


def write_predictions(
    path: str | os.PathLike[str],
    *,
    video_id: Sequence[str],
    frame: Any,
    boxes: Any,
    scores: Any,
    person_id: Any = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write one row per scored person; ``about`` (model, revision, scores_are, …) comes back with the scores.

    >>> import tempfile
    >>> path = write_predictions(
    ...     tempfile.mkdtemp() + "/p.parquet", video_id=["a_001"], frame=[45], boxes=[[0, 0, 1, 1]],
    ...     scores=np.zeros((1, 50)), about={"model": "x3d_s"})
    >>> read_about(path)
    {'model': 'x3d_s'}
    """
    box = np.asarray(as_array(boxes), dtype=np.float64).reshape(-1, 4)
    matrix = np.asarray(as_array(scores))
    if matrix.dtype != np.float64:
        matrix = matrix.astype(np.float32)
    if matrix.ndim != 2 or len(matrix) != len(box):
        raise fail(str(path), f"scores of shape {matrix.shape} for {len(box)} boxes", "give one list of scores per box")
    columns = {
        "video_id": pa.array(list(video_id), pa.string()),
        "frame": from_numpy(np.asarray(as_array(frame), np.int32)),
    }
    if person_id is not None:
        columns["person_id"] = from_numpy(np.asarray(as_array(person_id), np.int32))
    columns |= {side: from_numpy(box[:, place]) for place, side in enumerate(SIDES)}
    width = matrix.shape[1]
    offsets = from_numpy(np.arange(len(matrix) + 1, dtype=np.int32) * np.int32(width))
    columns["scores"] = pa.ListArray.from_arrays(offsets, from_numpy(matrix.ravel()))
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(dict(about or {}), sort_keys=True)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return write_atomic(path, buffer.getvalue())


def read_about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a prediction file says about its making; empty for files of other programs."""
    if Path(path).suffix != ".parquet":
        return {}
    try:
        about = json.loads((pq.read_schema(path).metadata or {}).get(METADATA, b"{}"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def read_parquet(
    path: str | os.PathLike[str], *, references: bool, action_ids: Sequence[int] | None = None
) -> ActionRows:
    """ActionRows of a Parquet file: one row per person with a list of scores, or one row per box and action."""
    file = Path(path)
    try:
        table = pq.ParquetFile(file).read()  # read_table would import pandas
    except FileNotFoundError:
        raise fail(str(file), "there is no such file", "check the path", references=references) from None
    except (pa.ArrowException, OSError, ValueError) as error:
        problem = f"cannot be read as Parquet: {error}"
        raise fail(file.name, problem, "write it again; it may be cut off", references=references) from None
    return rows_from_table(table, file.name, references=references, action_ids=action_ids)


def rows_from_table(
    table: pa.Table, name: str, *, references: bool, action_ids: Sequence[int] | None = None
) -> ActionRows:
    """ActionRows of an Arrow table, whose columns may hold no empty places."""
    for column in known_names(dict.fromkeys(table.column_names)):
        if table.num_rows and column in {"video_id", "frame", *SIDES, "action_id", "score"}:
            values = known_names(dict(zip(table.column_names, table.columns, strict=True)))[column]
            if values.null_count:
                row = values.is_null().to_pylist().index(True)
                raise fail(
                    name, f"row {row}: {column} is empty", "fill it in or leave the row out", references=references
                )
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return rows_from_columns(columns, name, references=references, action_ids=action_ids)


# AVA-style CSV: ``video, frame, x1, y1, x2, y2, action_id`` and a score (predictions) or a person (references).

_ENCODING = "utf-8-sig"  # spreadsheets begin a file with a mark
_KIND_OF = {
    "video_id": pa.dictionary(pa.int32(), pa.string()),
    "frame": pa.int64(),
    **dict.fromkeys((*SIDES, "score"), pa.float64()),
}
_KIND_OF |= {"action_id": pa.int64(), "person_id": pa.int64()}
_WHOLE = ("frame", "action_id", "person_id")


def read_csv(path: str | os.PathLike[str], *, references: bool) -> ActionRows:
    """ActionRows of a CSV file with or without a header."""
    file = Path(path)
    names, header = _column_names(file, references)
    try:
        table = _table(file, names, header, _KIND_OF)
    except pa.ArrowInvalid:
        try:
            # Slower, and only for tables that went through a program that made 52.0 out of 52.
            table = _table(file, names, header, _KIND_OF | dict.fromkeys(_WHOLE, pa.float64()))
            for name in set(_WHOLE) & set(names):
                table = table.set_column(names.index(name), name, table[name].cast(pa.int64()))
        except pa.ArrowInvalid as error:
            raise _diagnosis(file, names, header, references, str(error)) from None
    first_line = header + 1
    for name, column in zip(names, table.columns, strict=True):
        if column.null_count and name in (*_KIND_OF, "video_id") and name != "person_id":
            line = column.is_null().to_pylist().index(True) + first_line
            hint = "fill it in or leave the row out"
            if name in {"action_id", "score"}:
                hint = "a file of boxes alone (…_predicted_boxes.csv) cannot be scored: " + hint
            raise fail(file.name, f"line {line}: {name} is empty", hint, references=references)
    columns: dict[str, Any] = dict(zip(names, table.columns, strict=True))
    if columns.get("person_id") is not None and columns["person_id"].null_count:
        del columns["person_id"]
    return rows_from_columns(columns, file.name, references=references, first_line=first_line)


def _table(file: Path, names: list[str], header: int, kinds: dict[str, pa.DataType]) -> pa.Table:
    return pacsv.read_csv(
        file,
        read_options=pacsv.ReadOptions(column_names=names, skip_rows=header),
        convert_options=pacsv.ConvertOptions(
            column_types={name: kinds.get(name, pa.string()) for name in names}, null_values=[""]
        ),
    )


def _column_names(file: Path, references: bool) -> tuple[list[str], int]:
    """The names of the columns, and the number of lines up to and with the header, 0 where there is none."""
    try:
        with open(file, newline="", encoding=_ENCODING) as stream:
            reader = csv.reader(stream)
            fields = next(filter(None, reader), None)
    except FileNotFoundError:
        raise fail(str(file), "there is no such file", "check the path", references=references) from None
    except OSError as error:
        raise fail(str(file), f"cannot be read ({error.strerror})", "give a CSV file", references=references) from None
    except (UnicodeDecodeError, csv.Error):
        raise fail(file.name, "this is no text file", "give CSV in UTF-8, or Parquet", references=references) from None
    if not fields:
        raise fail(file.name, "the file is empty", "give one row per box and action", references=references)
    said = [field.strip().lower() for field in fields]
    named = known_names(dict.fromkeys(said))
    if "video_id" in named and "frame" in named:
        if len(named) < len(fields):
            problem = f"line {reader.line_num} names a column twice: {', '.join(said)}"
            raise fail(file.name, problem, "keep one of each", references=references)
        return list(named), reader.line_num
    last = "person_id" if references else "score"
    if len(fields) == len(FLAT) + 1 or (references and len(fields) == len(FLAT)):
        return [*FLAT, last][: len(fields)], 0
    raise fail(
        file.name,
        f"line 1 has {len(fields)} columns",
        f"without a header a row is {', '.join(FLAT)}, {last}",
        references=references,
    )


def _diagnosis(file: Path, names: list[str], header: int, references: bool, reason: str) -> Exception:
    """The error for the first line that cannot be read."""
    kinds = {"score": "a number", **dict.fromkeys(SIDES, "a number")}
    kinds |= dict.fromkeys(_WHOLE, "a whole number")
    try:
        with open(file, newline="", encoding=_ENCODING) as stream:
            for line, fields in enumerate(csv.reader(stream), start=1):
                if line <= header or not fields:
                    continue
                if len(fields) != len(names):
                    problem = f"line {line} has {len(fields)} columns, the lines before {len(names)}"
                    return fail(file.name, problem, "the file may be cut off", references=references)
                for name, text in zip(names, fields, strict=True):
                    if name in kinds and not _reads_as(text, kinds[name]):
                        problem = f"line {line}: {name} is {text!r}"
                        return fail(file.name, problem, f"it must be {kinds[name]}", references=references)
    except (UnicodeDecodeError, csv.Error):
        return fail(file.name, "this is no text file", "give CSV in UTF-8, or Parquet", references=references)
    return fail(file.name, f"cannot be read as CSV: {reason}", "give one row per box and action", references=references)


def _reads_as(text: str, kind: str) -> bool:
    try:
        return float(text).is_integer() or kind != "a whole number"
    except ValueError:
        return text == ""  # reported with its own words
