"""AVA-style CSV: ``video, frame, x1, y1, x2, y2, action_id`` and a score (predictions) or a person (references)."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from .columns import FLAT, SIDES, known_names, rows_from_columns
from .rows import Rows, fail

_KIND_OF = {
    "video_id": pa.dictionary(pa.int32(), pa.string()),
    "frame": pa.int64(),
    **dict.fromkeys((*SIDES, "score"), pa.float64()),
}
_KIND_OF |= {"action_id": pa.int64(), "person_id": pa.int64()}


def read_csv(path: str | os.PathLike[str], *, references: bool) -> Rows:
    """Rows of a CSV file with or without a header."""
    file = Path(path)
    names, header = _column_names(file, references)
    try:
        table = pacsv.read_csv(
            file,
            read_options=pacsv.ReadOptions(column_names=names, skip_rows=int(header)),
            convert_options=pacsv.ConvertOptions(
                column_types={name: _KIND_OF.get(name, pa.string()) for name in names}, null_values=[""]
            ),
        )
    except pa.ArrowInvalid as error:
        raise _diagnosis(file, names, header, references, str(error)) from None
    first_line = 2 if header else 1
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


def _column_names(file: Path, references: bool) -> tuple[list[str], bool]:
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            fields = next(csv.reader(stream), None)
    except FileNotFoundError:
        raise fail(str(file), "there is no such file", "check the path", references=references) from None
    except (UnicodeDecodeError, csv.Error):
        raise fail(file.name, "this is no text file", "give CSV in UTF-8, or Parquet", references=references) from None
    if not fields:
        raise fail(file.name, "the file is empty", "give one row per box and action", references=references)
    named = known_names({field.strip().lower(): None for field in fields})
    if "video_id" in named and "frame" in named:
        return list(named), True
    last = "person_id" if references else "score"
    if len(fields) == len(FLAT) + 1 or (references and len(fields) == len(FLAT)):
        return [*FLAT, last][: len(fields)], False
    raise fail(
        file.name,
        f"line 1 has {len(fields)} columns",
        f"without a header a row is {', '.join(FLAT)}, {last}",
        references=references,
    )


def _diagnosis(file: Path, names: list[str], header: bool, references: bool, reason: str) -> Exception:
    """The error for the first line that cannot be read."""
    kinds = {"score": "a number", **dict.fromkeys(SIDES, "a number")}
    kinds |= dict.fromkeys(("frame", "action_id", "person_id"), "a whole number")
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            for line, fields in enumerate(csv.reader(stream), start=1):
                if line == 1 and header:
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
        _ = int(text) if kind == "a whole number" else float(text)
    except ValueError:
        return text == ""  # reported with its own words
    return True
