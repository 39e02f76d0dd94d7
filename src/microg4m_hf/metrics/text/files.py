"""Prediction and reference files as rows with the place each row stands at; every fault names file and line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import DataError, MicroG4MError, PredictionError

Row = tuple[str, Any]  # ("line 7", the row)
KINDS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


class Trouble:
    """Raises the error that fits what is being read: predictions or references.

    >>> str(Trouble("predictions", "answers.csv").error("no header", line=1, hint="name the columns"))
    'predictions answers.csv, line 1: no header (name the columns)'
    """

    def __init__(self, role: str, name: str = "") -> None:
        self.role, self.name = role, name

    def error(self, problem: str, *, line: int | None = None, hint: str = "") -> PredictionError | DataError:
        """The error to raise."""
        where = f"{self.role} {self.name}".strip() + (f", line {line}" if line else "")
        text = f"{where}: {problem}" + (f" ({hint})" if hint else "")
        return DataError(text) if self.role == "references" else PredictionError(text)


def read_rows(path: Path, trouble: Trouble) -> list[Row] | dict[str, Any]:
    """The rows of a file, or the object that a JSON file holds."""
    if path.suffix.lower() not in KINDS:
        raise trouble.error(
            f"cannot read a {path.suffix or 'file without a suffix'}", hint=f"use one of {', '.join(KINDS)}"
        )
    if path.is_dir():
        raise trouble.error("is a folder", hint="give the file inside it")
    if not path.is_file():
        raise trouble.error("there is no such file", hint=f"looked in {path.resolve().parent}")
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, trouble)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise trouble.error(f"is not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None
    if not text.strip():
        raise trouble.error("is empty")
    readers: dict[str, Callable[[str, Trouble], Any]] = {
        ".json": _read_json,
        ".csv": lambda text, trouble: _read_csv(text, trouble, ","),
        ".tsv": lambda text, trouble: _read_csv(text, trouble, "\t"),
    }
    return readers.get(path.suffix.lower(), _read_lines)(text, trouble)


def _read_json(text: str, trouble: Trouble) -> list[Row] | dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, trouble))
    except json.JSONDecodeError as error:
        hint = "one object per line belongs in a .jsonl file" if error.msg == "Extra data" else "was it cut off?"
        raise trouble.error(f"is not JSON: {error.msg}", line=error.lineno, hint=hint) from None
    except RecursionError:
        raise trouble.error("nests too deeply to be predictions") from None
    except MicroG4MError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise trouble.error(f"cannot be read: {error}") from None
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return [(f"entry {number}", row) for number, row in enumerate(value, start=1)]
    raise trouble.error(f"holds one {type(value).__name__}", hint="expected a list or an object {video_id: text}")


def _object(pairs: list[tuple[str, Any]], trouble: Trouble) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})[:3] if len(names) < 10_000 else []
        raise trouble.error(f"{len(pairs) - len(found)} keys stand twice in one object, for example {twice}")
    return found


def _read_lines(text: str, trouble: Trouble) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append((f"line {number}", json.loads(line, object_pairs_hook=lambda pairs: _object(pairs, trouble))))
        except MicroG4MError:
            raise
        except (ValueError, RecursionError) as error:
            what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            hint = "one JSON object per line; was the last line cut off?"
            raise trouble.error(f"is not JSON: {what}", line=number, hint=hint) from None
    return rows


def _read_csv(text: str, trouble: Trouble, delimiter: str) -> list[Row]:
    if "\0" in text:
        raise trouble.error(
            "holds NUL bytes", line=text[: text.index("\0")].count("\n") + 1, hint="is it really a CSV?"
        )
    limit = csv.field_size_limit(1 << 24)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(reader)]
        if len(set(header)) < len(header):
            raise trouble.error(f"the header names a column twice: {header}", line=1)
        if "video_id" not in header:
            raise trouble.error(
                f"the header {header[:6]} has no video_id", line=1, hint="name the columns in the first line"
            )
        rows = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                problem = f"{len(row)} fields where the header has {len(header)}"
                raise trouble.error(problem, line=reader.line_num, hint="put texts with commas or newlines in quotes")
            rows.append((f"line {reader.line_num}", dict(zip(header, row, strict=True))))
        return rows
    except csv.Error as error:
        raise trouble.error(f"is not CSV: {error}", line=reader.line_num, hint="is a quote left open?") from None
    finally:
        csv.field_size_limit(limit)


def _read_parquet(path: Path, trouble: Trouble) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name != "video"]
            table = file.read(columns=names)
    except (pa.ArrowException, OSError) as error:
        raise trouble.error(f"is not Parquet: {' '.join(str(error).split())[:120]}") from None
    return [(f"row {number}", row) for number, row in enumerate(table.to_pylist(), start=1)]
