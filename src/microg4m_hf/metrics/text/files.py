"""Read prediction and reference files as rows with their location, so that every error names file and line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from ...errors import DataError, MicroG4MError, PredictionError

LocatedRow = tuple[str, Any]  # ("line 7", the row)
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


class InputSource:
    """What is being read (``"predictions"`` or ``"references"``, and the name of the file), for error messages.

    Example:
        >>> str(InputSource("predictions", "answers.csv").error("no header", line=1, hint="name the columns"))
        'predictions answers.csv, line 1: no header (name the columns)'
    """

    def __init__(self, role: str, name: str = "") -> None:
        self.role, self.name = role, name

    def error(self, problem: str, *, line: int | None = None, hint: str = "") -> PredictionError | DataError:
        """Return the error to raise: a ``DataError`` for references, a ``PredictionError`` for predictions."""
        where = f"{self.role} {self.name}".strip() + (f", line {line}" if line else "")
        text = f"{where}: {problem}" + (f" ({hint})" if hint else "")
        return DataError(text) if self.role == "references" else PredictionError(text)


def read_text_rows(path: Path, source: InputSource) -> list[LocatedRow] | dict[str, Any]:
    """Read a JSON, JSONL, CSV, TSV or Parquet file.

    Args:
        path: The file; its suffix selects the reader.
        source: Names the file in error messages.

    Returns:
        The rows with their locations, or the object that a JSON file holds.

    Raises:
        PredictionError: If the file cannot be read; a ``DataError`` for references.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        hint = f"use one of {', '.join(SUFFIXES)}"
        raise source.error(f"cannot read a {path.suffix or 'file without a suffix'}", hint=hint)
    if path.is_dir():
        raise source.error("is a folder", hint="give the file inside it")
    if not path.is_file():
        raise source.error("there is no such file", hint=f"looked in {path.resolve().parent}")
    if suffix == ".parquet":
        return _read_parquet(path, source)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise source.error(f"is not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None
    if not text.strip():
        raise source.error("is empty")
    if suffix in (".csv", ".tsv"):
        return _read_csv(text, source, "," if suffix == ".csv" else "\t")
    return _read_json(text, source) if suffix == ".json" else _read_json_lines(text, source)


def _read_json(text: str, source: InputSource) -> list[LocatedRow] | dict[str, Any]:
    value = _parse_json(text, source)
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return [(f"entry {number}", row) for number, row in enumerate(value, start=1)]
    raise source.error(f"holds one {type(value).__name__}", hint="expected a list or an object {video_id: text}")


def _read_json_lines(text: str, source: InputSource) -> list[LocatedRow]:
    lines = enumerate(text.split("\n"), start=1)
    return [(f"line {number}", _parse_json(line, source, number)) for number, line in lines if line.strip()]


def _parse_json(text: str, source: InputSource, line: int | None = None) -> Any:
    def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):  # `json` alone would keep the last of two values
            names = [name for name, _ in pairs]
            repeated = sorted({name for name in names if names.count(name) > 1})[:3] if len(names) < 10_000 else []
            problem = f"{len(pairs) - len(value)} keys are repeated in one object, for example {repeated}"
            raise source.error(problem, line=line, hint="keep one of each")
        return value

    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        hint = "one object per line belongs in a .jsonl file" if error.msg == "Extra data" else "was it cut off?"
        hint = hint if line is None else "one JSON object per line; was the last line cut off?"
        raise source.error(f"is not JSON: {error.msg}", line=line or error.lineno, hint=hint) from None
    except RecursionError:
        raise source.error("nests too deeply to be predictions", line=line) from None
    except MicroG4MError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise source.error(f"is not JSON that can be read: {error}", line=line) from None


def _read_csv(text: str, source: InputSource, delimiter: str) -> list[LocatedRow]:
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise source.error("holds NUL bytes", line=line, hint="is it really a CSV?")
    limit = csv.field_size_limit(1 << 24)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        if len(set(header)) < len(header):
            raise source.error(f"the header names a column twice: {header}", line=1)
        if "video_id" not in header:
            hint = "name the columns in the first line"
            raise source.error(f"the header {header[:6]} has no video_id", line=1, hint=hint)
        rows = []
        for row in filter(None, reader):
            if len(row) != len(header):
                problem = f"{len(row)} fields where the header has {len(header)}"
                raise source.error(problem, line=reader.line_num, hint="put texts with commas or newlines in quotes")
            rows.append((f"line {reader.line_num}", dict(zip(header, row, strict=True))))
        return rows
    except csv.Error as error:
        raise source.error(f"is not CSV: {error}", line=reader.line_num, hint="is a quote left open?") from None
    finally:
        csv.field_size_limit(limit)


def _read_parquet(path: Path, source: InputSource) -> list[LocatedRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name != "video"]
            table = file.read(columns=names)
    except (pa.ArrowException, OSError) as error:
        raise source.error(f"is not Parquet: {' '.join(str(error).split())[:120]}") from None
    return [(f"row {number}", row) for number, row in enumerate(table.to_pylist(), start=1)]
