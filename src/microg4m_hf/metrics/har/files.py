"""Read predictions and references from Parquet and CSV files, and write prediction files.

A prediction file of this package is Parquet with one row per person: ``video_id``, ``frame``, ``person_id``,
``x1 y1 x2 y2`` (fractions) and ``scores`` (a list of 50 or 80). Its metadata holds under ``microg4m`` how it was made,
as JSON: model, revision, whether scores are logits, … CSV files are AVA-style: ``video, frame, x1, y1, x2, y2,
action_id`` and a score (predictions) or a person (references), with or without a header.
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

from ...errors import Origin
from ...storage import write_atomic
from .arrays import as_array
from .columns import FLAT, SIDES, rename_columns, rows_from_columns
from .rows import ActionRows

METADATA = b"microg4m"
_ENCODING = "utf-8-sig"  # spreadsheet programs write a byte order mark
_CSV_TYPES = {
    "video_id": pa.dictionary(pa.int32(), pa.string()),
    "frame": pa.int64(),
    **dict.fromkeys((*SIDES, "score"), pa.float64()),
    "action_id": pa.int64(),
    "person_id": pa.int64(),
}
_INTEGERS = ("frame", "action_id", "person_id")


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
    """Write a Parquet prediction file with one row per scored person.

    Args:
        path: The file to write.
        video_id: The clip of each person.
        frame: The key frame of each person.
        boxes: ``(persons, 4)``, fractions of width and height.
        scores: ``(persons, classes)``, 50 or 80 classes.
        person_id: The released id of each person.
        about: Metadata such as ``model``, ``revision`` and ``scores_are``, which ends up in the recipe of every score.

    Returns:
        The path.

    Raises:
        PredictionError: There is not one list of scores per box.

    Example:
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
        problem = f"scores of shape {matrix.shape} for {len(box)} boxes"
        raise Origin(str(path)).error(problem, "give one list of scores per box")
    columns = {"video_id": list(video_id), "frame": np.asarray(as_array(frame), np.int32)}
    if person_id is not None:
        columns["person_id"] = np.asarray(as_array(person_id), np.int32)
    columns |= {side: box[:, place] for place, side in enumerate(SIDES)}
    offsets = np.arange(len(matrix) + 1, dtype=np.int32) * np.int32(matrix.shape[1])
    columns["scores"] = pa.ListArray.from_arrays(offsets, matrix.ravel())
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(dict(about or {}), sort_keys=True)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return write_atomic(path, buffer.getvalue())


def read_about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the metadata of a prediction file; empty for files of other programs."""
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
    """Read a Parquet file: one row per person with a list of scores, or one row per box and action."""
    file = Path(path)
    try:
        table = pq.ParquetFile(file).read()  # read_table would import pandas
    except FileNotFoundError:
        raise Origin(str(file), references).error("there is no such file", "check the path") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        problem = f"cannot be read as Parquet: {error}"
        raise Origin(file.name, references).error(problem, "write it again; it may be cut off") from None
    return rows_from_table(table, Origin(file.name, references), action_ids=action_ids)


def rows_from_table(table: pa.Table, origin: Origin, *, action_ids: Sequence[int] | None = None) -> ActionRows:
    """Read an Arrow table, whose columns must not hold nulls."""
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for column, values in rename_columns(columns).items():
        if column in {"video_id", "frame", *SIDES, "action_id", "score"} and values.null_count:
            row = values.is_null().to_pylist().index(True)
            raise origin.error(f"row {row}: {column} is empty", "fill it in or leave the row out")
    return rows_from_columns(columns, origin, action_ids=action_ids)


def read_csv(path: str | os.PathLike[str], *, references: bool) -> ActionRows:
    """Read a CSV file with or without a header."""
    file = Path(path)
    origin = Origin(file.name, references)
    names, header = _column_names(file, origin)
    try:
        table = _read_csv_table(file, names, header, _CSV_TYPES)
    except pa.ArrowInvalid:
        try:
            # Slower; needed only for files of programs that write 52 as 52.0.
            table = _read_csv_table(file, names, header, _CSV_TYPES | dict.fromkeys(_INTEGERS, pa.float64()))
            for name in set(_INTEGERS) & set(names):
                table = table.set_column(names.index(name), name, table[name].cast(pa.int64()))
        except pa.ArrowInvalid as error:
            raise _find_bad_line(file, names, header, origin, str(error)) from None
    first_line = header + 1
    for name, column in zip(names, table.columns, strict=True):
        if column.null_count and name in _CSV_TYPES and name != "person_id":
            line = column.is_null().to_pylist().index(True) + first_line
            boxes_alone = " (a file of boxes alone, …_predicted_boxes.csv, cannot be scored)"
            hint = f"fill it in or leave the row out{boxes_alone if name in ('action_id', 'score') else ''}"
            raise origin.error(f"line {line}: {name} is empty", hint)
    columns: dict[str, Any] = dict(zip(names, table.columns, strict=True))
    if columns.get("person_id") is not None and columns["person_id"].null_count:
        del columns["person_id"]
    return rows_from_columns(columns, origin, first_line=first_line)


def _read_csv_table(file: Path, names: list[str], header: int, types: dict[str, pa.DataType]) -> pa.Table:
    return pacsv.read_csv(
        file,
        read_options=pacsv.ReadOptions(column_names=names, skip_rows=header),
        convert_options=pacsv.ConvertOptions(
            column_types={name: types.get(name, pa.string()) for name in names}, null_values=[""]
        ),
    )


def _column_names(file: Path, origin: Origin) -> tuple[list[str], int]:
    """Return the names of the columns and the number of lines up to and including the header, 0 without a header."""
    try:
        with open(file, newline="", encoding=_ENCODING) as stream:
            reader = csv.reader(stream)
            fields = next(filter(None, reader), None)
    except FileNotFoundError:
        raise Origin(str(file), origin.references).error("there is no such file", "check the path") from None
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise Origin(str(file), origin.references).error(problem, "give a CSV file") from None
    except (UnicodeDecodeError, csv.Error):
        raise origin.error("this is not a text file", "give CSV in UTF-8, or Parquet") from None
    if not fields:
        raise origin.error("the file is empty", "give one row per box and action")
    lower = [field.strip().lower() for field in fields]
    named = rename_columns(dict.fromkeys(lower))
    if "video_id" in named and "frame" in named:
        if len(named) < len(fields):
            problem = f"line {reader.line_num} names a column twice: {', '.join(lower)}"
            raise origin.error(problem, "keep one of each")
        return list(named), reader.line_num
    last = "person_id" if origin.references else "score"
    if len(fields) == len(FLAT) + 1 or (origin.references and len(fields) == len(FLAT)):
        return [*FLAT, last][: len(fields)], 0
    hint = f"give a header, or rows of {', '.join(FLAT)}, {last}"
    raise origin.error(f"line 1 has {len(fields)} columns", hint)


def _find_bad_line(file: Path, names: list[str], header: int, origin: Origin, reason: str) -> Exception:
    """Return the error for the first line that cannot be read."""
    kinds = {"score": "a number", **dict.fromkeys(SIDES, "a number"), **dict.fromkeys(_INTEGERS, "a whole number")}
    try:
        with open(file, newline="", encoding=_ENCODING) as stream:
            for line, fields in enumerate(csv.reader(stream), start=1):
                if line <= header or not fields:
                    continue
                if len(fields) != len(names):
                    problem = f"line {line} has {len(fields)} columns, the lines before {len(names)}"
                    return origin.error(problem, "the file may be cut off")
                for name, text in zip(names, fields, strict=True):
                    if name in kinds and not _is_valid(text, kinds[name]):
                        return origin.error(f"line {line}: {name} is {text!r}", f"it must be {kinds[name]}")
    except (UnicodeDecodeError, csv.Error):
        return origin.error("this is not a text file", "give CSV in UTF-8, or Parquet")
    return origin.error(f"cannot be read as CSV: {reason}", "give one row per box and action")


def _is_valid(text: str, kind: str) -> bool:
    try:
        return float(text).is_integer() or kind != "a whole number"
    except ValueError:
        return text == ""  # empty fields have an error of their own
