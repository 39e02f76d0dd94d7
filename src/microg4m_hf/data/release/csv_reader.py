"""A released CSV file as typed columns, at the speed of ``pyarrow.csv``; slow and exact only once a fault is known.

The fast reader says that a file is wrong but not where. So a file that it refuses is read again row by row, and
the line of a fault that the checks find later is looked up only then.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from ...errors import DataError
from .faults import ErrorPolicy

TEXT = pa.dictionary(pa.int32(), pa.string())
WHOLE = pa.int32()
REAL = pa.float64()

_WHOLE = re.compile(r"[+-]?[0-9]{1,9}(\.0*)?")  # "3.0" too: pandas writes whole numbers so beside an empty cell
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_EXPECTED = {TEXT: "text", WHOLE: "a whole number of at most nine digits", REAL: "a number"}


@dataclass
class CsvRows:
    """The rows of one file; every row still knows its line."""

    path: Path
    name: str
    table: pa.Table
    header: bool
    policy: ErrorPolicy
    kept: np.ndarray | None = None  # which rows of the file these are; None: all
    lines: np.ndarray | None = None  # line of every row of the file, once known
    places: np.ndarray | None = None  # of each row's clip in the table of clips, once looked up
    _columns: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.table.num_rows

    def numbers(self, column: str) -> np.ndarray:
        """A number column; an empty cell counts as -1 (the column must allow it)."""
        if column not in self._columns:
            values = _array(self.table, column)
            if values.null_count:
                values = values.fill_null(-1)
            self._columns[column] = values.to_numpy(zero_copy_only=False)
        return self._columns[column]

    def codes(self, column: str) -> tuple[np.ndarray, pa.Array]:
        """A text column as numbers of its distinct values, and those values."""
        values = _array(self.table, column)
        return values.indices.to_numpy(zero_copy_only=False), values.dictionary

    def line(self, row: int) -> int:
        """The line in the file on which a row ends."""
        if self.lines is None:
            self.lines = np.fromiter((line for line, _ in _records(self.path)), dtype=np.int64)[int(self.header) :]
        return int(self.lines[row if self.kept is None else self.kept[row]])

    def report(self, row: int, reason: str, columns: tuple[str, ...], hint: str | None = None) -> None:
        values = [self.table[column][row].as_py() for column in columns]
        value = values[0] if len(values) == 1 else dict(zip(columns, values, strict=True))
        self.policy.report(self.name, self.line(row), value, reason, hint)

    def drop(self, bad: np.ndarray, reason: str, *columns: str, hint: str | None = None) -> CsvRows:
        """Report the rows of a mask and go on without them."""
        if not bad.any():
            return self
        for row in np.flatnonzero(bad):
            self.report(int(row), reason, columns, hint)
        return self.filter(~bad)

    def filter(self, keep: np.ndarray) -> CsvRows:
        return self.take(np.flatnonzero(keep))

    def take(self, order: np.ndarray) -> CsvRows:
        """Some rows, in an order of one's own."""
        kept = order if self.kept is None else self.kept[order]
        table = self.table.take(pa.array(order)).combine_chunks()
        return CsvRows(self.path, self.name, table, self.header, self.policy, kept, self.lines)


def read_csv_rows(
    path: Path,
    columns: dict[str, pa.DataType],
    policy: ErrorPolicy,
    *,
    name: str | None = None,
    header: bool = True,
    may_be_empty: tuple[str, ...] = (),
) -> CsvRows:
    """Read the named columns of a file; ``header=False``: the file has exactly these columns and no names.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "actions.csv"
    >>> _ = path.write_text("video_id,action\\nISS_004,12\\nISS_005,80\\n")
    >>> rows = read_csv_rows(path, {"video_id": TEXT, "action": WHOLE}, ErrorPolicy())
    >>> rows.numbers("action").tolist(), rows.line(1)
    ([12, 80], 3)
    """
    name = name or path.name
    if header:
        _check_header(path, name, columns)
    try:
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(column_names=None if header else list(columns)),
            convert_options=arrow_csv.ConvertOptions(
                column_types=columns, include_columns=list(columns), null_values=[""]
            ),
        )
        rows = CsvRows(path, name, table.unify_dictionaries().combine_chunks(), header, policy)
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        rows = _read_slowly(path, name, columns, policy, header, may_be_empty)
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror or error})", file=name) from error
    for column in columns:
        empty = rows.table[column]
        if empty.null_count and column not in may_be_empty:
            rows = rows.drop(empty.is_null().combine_chunks().to_numpy(zero_copy_only=False), "empty cell", column)
    return rows


def _array(table: pa.Table, column: str) -> pa.Array:
    values = table[column]
    if values.num_chunks == 1:
        return values.chunk(0)
    return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)


def _records(path: Path) -> Iterator[tuple[int, list[str] | None]]:
    """Line number and cells of every record that is not blank; ``None`` for one the csv module cannot split."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield reader.line_num, None
                continue
            if cells:
                yield reader.line_num, cells


def _check_header(path: Path, name: str, columns: dict[str, pa.DataType]) -> None:
    wanted = ",".join(columns)
    try:
        with open(path, "rb") as file:
            start = file.readline(65536)
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror or error})", file=name) from error
    if not start:
        raise DataError("the file is empty", file=name, hint=f"it must begin with {wanted}")
    try:
        found = next(csv.reader([start.decode("utf-8-sig")]), [])
    except (UnicodeDecodeError, csv.Error):
        raise DataError(
            "this is no UTF-8 CSV file", file=name, line=1, value=start[:40], hint=f"it must begin with {wanted}"
        ) from None
    missing = [column for column in columns if column not in found]
    if missing or any(found.count(column) > 1 for column in columns):
        what = f"column {missing[0]} is missing" if missing else "a column appears twice"
        raise DataError(what, file=name, line=1, value=",".join(found), hint=f"it must begin with {wanted}")


def _read_slowly(
    path: Path,
    name: str,
    columns: dict[str, pa.DataType],
    policy: ErrorPolicy,
    header: bool,
    may_be_empty: tuple[str, ...],
) -> CsvRows:
    """Row by row, so that each fault has its line; keeps the rows that are right."""
    records = _records(path)
    position = list(range(len(columns)))
    width = len(columns)
    if header:
        names = next(records)[1] or []
        position, width = [names.index(column) for column in columns], len(names)
    lines: list[int] = []
    kept: list[int] = []
    values: list[list] = [[] for _ in columns]
    for row, (line, cells) in enumerate(records):
        lines.append(line)
        if cells is None:
            policy.report(name, line, None, "the line is not CSV (an open quote, a field over 128 KiB or a zero byte)")
        elif len(cells) != width:
            policy.report(name, line, ",".join(cells), f"{len(cells)} cells instead of {width}")
        else:
            parsed = []
            for column, place in zip(columns, position, strict=True):
                value, fault = _parse(cells[place], columns[column])
                if fault is None and value is None and column not in may_be_empty:
                    fault = "empty cell"
                if fault:
                    policy.report(name, line, cells[place], f"{column}: {fault}")
                    break
                parsed.append(value)
            else:
                kept.append(row)
                for column_values, value in zip(values, parsed, strict=True):
                    column_values.append(value)
    table = pa.table(
        [
            pa.array(column_values, pa.string()).dictionary_encode() if kind == TEXT else pa.array(column_values, kind)
            for column_values, kind in zip(values, columns.values(), strict=True)
        ],
        names=list(columns),
    )
    return CsvRows(path, name, table, header, policy, np.asarray(kept, dtype=np.int64), np.asarray(lines))


def _parse(cell: str, kind: pa.DataType) -> tuple[object, str | None]:
    if cell == "":
        return None, None
    if kind == TEXT:
        fault = None if cell.isascii() or not any("\ud800" <= char <= "\udfff" for char in cell) else "not UTF-8 text"
        return cell, fault
    text = cell.strip(" \t")
    if (_WHOLE if kind == WHOLE else _REAL).fullmatch(text) is None:
        return None, f"not {_EXPECTED[kind]}"
    return (int(float(text)) if kind == WHOLE else float(text)), None
