"""Read prediction and reference files as rows with their location, so that every error names file and line."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from ...errors import MicroG4MError, Origin

LocatedRow = tuple[str, Any]  # ("line 7", the row)
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".xlsx")
_MAX_SHEET_BYTES = 512 << 20  # a sheet of a few kilobytes can expand to gigabytes


def read_text_rows(path: Path, origin: Origin) -> list[LocatedRow] | dict[str, Any]:
    """Read a JSON, JSONL, CSV, TSV, Parquet or XLSX file.

    Args:
        path: The file; its suffix selects the reader.
        origin: Names the file in error messages.

    Returns:
        The rows with their locations, or the object that a JSON file holds.

    Raises:
        PredictionError: If the file cannot be read; a ``DataError`` for references.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        hint = f"use one of {', '.join(SUFFIXES)}"
        raise origin.error(f"cannot read a {path.suffix or 'file without a suffix'}", hint=hint)
    if path.is_dir():
        raise origin.error("is a folder", hint="give the file inside it")
    if not path.is_file():
        raise origin.error("there is no such file", hint=f"check the path; looked in {path.resolve().parent}")
    if suffix == ".parquet":
        return _read_parquet(path, origin)
    if suffix == ".xlsx":
        return _read_xlsx(path, origin)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise origin.error(f"is not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None
    if not text.strip():
        raise origin.error("is empty", hint="write one text per item into it")
    if suffix in (".csv", ".tsv"):
        return _read_csv(text, origin, "," if suffix == ".csv" else "\t")
    if suffix == ".json":
        return _read_json(text, origin)
    lines = enumerate(text.split("\n"), start=1)
    return [(f"line {number}", _parse_json(line, origin, number)) for number, line in lines if line.strip()]


def _read_json(text: str, origin: Origin) -> list[LocatedRow] | dict[str, Any]:
    value = _parse_json(text, origin)
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return [(f"entry {number}", row) for number, row in enumerate(value, start=1)]
    raise origin.error(f"holds one {type(value).__name__}", hint="give a list or an object {video_id: text}")


def _parse_json(text: str, origin: Origin, line: int | None = None) -> Any:
    def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):  # `json` alone would keep the last of two values
            names = [name for name, _ in pairs]
            repeated = sorted({name for name in names if names.count(name) > 1})[:3] if len(names) < 10_000 else []
            problem = f"{len(pairs) - len(value)} keys are repeated in one object, for example {repeated}"
            raise origin.error(problem, line=line, hint="keep one of each")
        return value

    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        hint = "name a file of lines .jsonl" if error.msg == "Extra data" else "write it again; was it cut off?"
        hint = hint if line is None else "write one JSON object per line; was the last line cut off?"
        raise origin.error(f"is not JSON: {error.msg}", line=line or error.lineno, hint=hint) from None
    except RecursionError:
        raise origin.error("nests too deeply to be predictions", line=line, hint="give texts by video_id") from None
    except MicroG4MError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise origin.error(f"is not JSON that can be read: {error}", line=line, hint="write it again") from None


def _read_csv(text: str, origin: Origin, delimiter: str) -> list[LocatedRow]:
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise origin.error("holds NUL bytes", line=line, hint="save it as CSV in UTF-8")
    limit = csv.field_size_limit(1 << 24)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        if len(set(header)) < len(header):
            raise origin.error(f"the header names a column twice: {header}", line=1, hint="keep one of them")
        if "video_id" not in header:
            hint = "name the columns in the first line"
            raise origin.error(f"the header {header[:6]} has no video_id", line=1, hint=hint)
        rows = []
        for row in filter(None, reader):
            if len(row) != len(header):
                problem = f"{len(row)} fields where the header has {len(header)}"
                raise origin.error(problem, line=reader.line_num, hint="put texts with commas or newlines in quotes")
            rows.append((f"line {reader.line_num}", dict(zip(header, row, strict=True))))
        return rows
    except csv.Error as error:
        raise origin.error(f"is not CSV: {error}", line=reader.line_num, hint="close every quote") from None
    finally:
        csv.field_size_limit(limit)


def _read_parquet(path: Path, origin: Origin) -> list[LocatedRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name != "video"]
            table = file.read(columns=names)
    except (pa.ArrowException, OSError) as error:
        raise origin.error(f"is not Parquet: {' '.join(str(error).split())[:120]}", hint="write it again") from None
    return [(f"row {number}", row) for number, row in enumerate(table.to_pylist(), start=1)]


def _read_xlsx(path: Path, origin: Origin) -> list[LocatedRow]:
    """Read the first sheet, whose first row names the columns."""
    from xml.etree import ElementTree

    try:
        with zipfile.ZipFile(path) as book:
            sheet = "xl/worksheets/sheet1.xml"
            parts = [name for name in (sheet, "xl/sharedStrings.xml") if name == sheet or name in book.namelist()]
            if sum(book.getinfo(name).file_size for name in parts) > _MAX_SHEET_BYTES:
                raise origin.error(f"expands to more than {_MAX_SHEET_BYTES >> 20} MiB", hint="save it as TSV")
            strings, cells = [], []
            for name in reversed(parts):
                with book.open(name) as file:
                    root = ElementTree.parse(file).getroot()
                if name == sheet:
                    cells = [list(row) for row in root.iter(_SHEET + "row")]
                else:
                    strings = [_text_of(item) for item in root.iter(_SHEET + "si")]
        table = [{_column_of(cell): _value_of(cell, strings) for cell in row} for row in cells]
    except MicroG4MError:
        raise
    except (zipfile.BadZipFile, ElementTree.ParseError, LookupError, ValueError, OSError, EOFError) as error:
        problem = f"is not an Excel file that can be read ({type(error).__name__})"
        raise origin.error(problem, hint="save it as TSV or CSV") from None
    header = {column: str(name).strip() for column, name in (table[0] if table else {}).items()}
    if "video_id" not in header.values():
        hint = "name the columns in the first row"
        raise origin.error(f"the first row {list(header.values())[:6]} has no video_id", hint=hint)
    rows = [{name: row.get(column, "") for column, name in header.items()} for row in table[1:]]
    return [(f"row {number}", row) for number, row in enumerate(rows, start=2) if any(row.values())]


_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def _column_of(cell: Any) -> str:
    return re.sub(r"[0-9]", "", cell.attrib["r"])


def _value_of(cell: Any, strings: list[str]) -> str:
    value = cell.findtext(_SHEET + "v")
    if cell.get("t") == "s":
        return strings[int(value)]
    return _text_of(cell) if value is None else value


def _text_of(element: Any) -> str:
    """Join the runs of a text; ``_x000B_`` stands for a character that XML cannot hold."""
    text = "".join(run.text or "" for run in element.iter(_SHEET + "t"))
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), text)
