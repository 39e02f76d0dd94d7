"""Read a released CSV file as typed columns, at the speed of ``pyarrow.csv``, with line numbers for faults.

The fast reader does not tell the line of a fault. So a file that it refuses is read again row by row, and the line
of a fault that a later check finds is looked up only then.
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
from .faults import READ_HINT, ErrorPolicy

TEXT = pa.dictionary(pa.int32(), pa.string())
WHOLE = pa.int32()
REAL = pa.float64()
Columns = dict[str, pa.DataType]

_WHOLE = re.compile(r"[+-]?[0-9]{1,9}(\.0*)?")  # pandas writes "3.0" if a cell of the column is empty
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass
class CsvRows:
    """The rows of one file, or some of them; each row knows its line in the file."""

    path: Path
    name: str
    table: pa.Table
    header: bool
    policy: ErrorPolicy
    kept: np.ndarray | None = None  # their numbers in the file; None: all rows
    lines: np.ndarray | None = None  # the line of every row of the file, once looked up
    places: np.ndarray | None = None  # the place of each row's clip in the table of clips, once looked up
    _columns: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.table.num_rows

    def numbers(self, column: str) -> np.ndarray:
        """Return a number column; an empty cell, where the column may have one, is -1."""
        if column not in self._columns:
            values = self.table[column].combine_chunks()
            self._columns[column] = (values.fill_null(-1) if values.null_count else values).to_numpy()
        return self._columns[column]

    def codes(self, column: str) -> tuple[np.ndarray, pa.Array]:
        """Return a text column as codes into its distinct values, and these values."""
        values = self.table[column].combine_chunks()
        return values.indices.to_numpy(zero_copy_only=False), values.dictionary

    def line(self, row: int) -> int:
        """Return the line of the file on which a row ends."""
        if self.lines is None:
            self.lines = np.fromiter((line for line, _ in _records(self.path)), dtype=np.int64)[int(self.header) :]
        return int(self.lines[row if self.kept is None else self.kept[row]])

    def report(self, row: int, reason: str, columns: tuple[str, ...], hint: str | None = None) -> None:
        """Report one row as a fault, with its values in these columns."""
        values = [self.table[column][row].as_py() for column in columns]
        value = values[0] if len(values) == 1 else dict(zip(columns, values, strict=True))
        self.policy.report(self.name, self.line(row), value, reason, hint)

    def drop(self, bad: np.ndarray, reason: str, *columns: str, hint: str | None = None) -> CsvRows:
        """Report the rows of a mask as faults and return the others."""
        if not bad.any():
            return self
        for row in np.flatnonzero(bad):
            self.report(int(row), reason, columns, hint)
        return self.filter(~bad)

    def filter(self, keep: np.ndarray) -> CsvRows:
        return self.take(np.flatnonzero(keep))

    def take(self, order: np.ndarray) -> CsvRows:
        """Return the rows with these numbers, in this order."""
        kept = order if self.kept is None else self.kept[order]
        table = self.table.take(pa.array(order)).combine_chunks()
        return CsvRows(self.path, self.name, table, self.header, self.policy, kept, self.lines)


def read_csv_rows(
    path: Path,
    columns: Columns,
    policy: ErrorPolicy,
    *,
    name: str | None = None,
    header: bool = True,
    may_be_empty: tuple[str, ...] = (),
) -> CsvRows:
    """Read the named columns of a file; with ``header=False``, the file has exactly these columns and no names.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "actions.csv"
        >>> _ = path.write_text("video_id,action\\nISS_004,12\\nISS_005,80\\n")
        >>> rows = read_csv_rows(path, {"video_id": TEXT, "action": WHOLE}, ErrorPolicy())
        >>> rows.numbers("action").tolist(), rows.line(1)
        ([12, 80], 3)
    """
    name = name or path.name
    names = list(columns)
    read = arrow_csv.ReadOptions(column_names=None if header else names)
    convert = arrow_csv.ConvertOptions(column_types=columns, include_columns=names, null_values=[""])
    try:
        if header:
            _check_header(path, name, columns)
        table = arrow_csv.read_csv(path, read_options=read, convert_options=convert)
        rows = CsvRows(path, name, table.unify_dictionaries().combine_chunks(), header, policy)
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        rows = _read_row_by_row(path, name, columns, policy, header, may_be_empty)
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror or error})", file=name, hint=READ_HINT) from error
    for column in columns:
        cells = rows.table[column]
        if cells.null_count and column not in may_be_empty:
            rows = rows.drop(cells.is_null().to_numpy(), "empty cell", column)
    return rows


def _check_header(path: Path, name: str, columns: Columns) -> None:
    hint = f"it must begin with {','.join(columns)}"
    with open(path, "rb") as file:
        start = file.readline(65536)
    if not start:
        raise DataError("the file is empty", file=name, hint=hint)
    try:
        found = next(csv.reader([start.decode("utf-8-sig")]), [])
    except (UnicodeDecodeError, csv.Error):
        raise DataError("this is not a UTF-8 CSV file", file=name, line=1, value=start[:40], hint=hint) from None
    missing = [column for column in columns if column not in found]
    if missing or any(found.count(column) > 1 for column in columns):
        what = f"column {missing[0]} is missing" if missing else "a column appears twice"
        raise DataError(what, file=name, line=1, value=",".join(found), hint=hint)


def _records(path: Path) -> Iterator[tuple[int, list[str] | None]]:
    """Yield line number and cells of every record that is not blank; ``None`` if the csv module cannot split it."""
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


def _read_row_by_row(
    path: Path, name: str, columns: Columns, policy: ErrorPolicy, header: bool, may_be_empty: tuple[str, ...]
) -> CsvRows:
    """Report each fault with its line and return the rows without fault."""
    records = _records(path)
    names = (next(records)[1] or []) if header else list(columns)
    position = [names.index(column) for column in columns]
    lines: list[int] = []
    kept: list[int] = []
    values: list[list] = []
    for row, (line, cells) in enumerate(records):
        lines.append(line)
        if cells is None:
            policy.report(name, line, None, "the line is not CSV (an open quote, a field over 128 KiB or a zero byte)")
        elif len(cells) != len(names):
            policy.report(name, line, ",".join(cells), f"{len(cells)} cells instead of {len(names)}")
        else:
            parsed = []
            for column, place in zip(columns, position, strict=True):
                value, reason = _parse(cells[place], columns[column])
                if reason is None and value is None and column not in may_be_empty:
                    reason = "empty cell"
                if reason:
                    policy.report(name, line, cells[place], f"{column}: {reason}")
                    break
                parsed.append(value)
            else:
                kept.append(row)
                values.append(parsed)
    arrays = [
        pa.array(cells, pa.string()).dictionary_encode() if kind == TEXT else pa.array(cells, kind)
        for cells, kind in zip(
            zip(*values, strict=True) if values else [()] * len(columns), columns.values(), strict=True
        )
    ]
    table = pa.table(arrays, names=list(columns))
    return CsvRows(path, name, table, header, policy, np.asarray(kept, dtype=np.int64), np.asarray(lines))


def _parse(cell: str, kind: pa.DataType) -> tuple[object, str | None]:
    """Return the value of a cell, or the reason why it has none."""
    if cell == "":
        return None, None
    if kind == TEXT:
        broken = not cell.isascii() and any("\ud800" <= char <= "\udfff" for char in cell)
        return cell, "not UTF-8 text" if broken else None
    text = cell.strip(" \t")
    if kind == WHOLE:
        return (
            (int(float(text)), None) if _WHOLE.fullmatch(text) else (None, "not a whole number of at most nine digits")
        )
    return (float(text), None) if _REAL.fullmatch(text) else (None, "not a number")
