"""The fast and the exact CSV reader give the same rows, and each row knows its line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from microg4m_hf.data.release.csv_reader import REAL, TEXT, WHOLE, read_csv_rows
from microg4m_hf.data.release.faults import LISTED_PER_REASON, ErrorPolicy
from microg4m_hf.errors import DataError

COLUMNS = {"name": TEXT, "count": WHOLE, "size": REAL}
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=6)
ROWS = st.lists(st.tuples(NAMES, st.integers(-999_999_999, 999_999_999), st.floats(-1e6, 1e6)), max_size=20)


def write(path: Path, rows: list, *, end: str = "\n") -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows([COLUMNS, *rows])
    path.write_bytes(text.getvalue().encode())


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, end=st.sampled_from(["\n", "\r\n"]), bad=st.integers(0, 20))
def test_the_exact_reader_equals_the_fast_one(tmp_path: Path, rows: list, end: str, bad: int) -> None:
    path = tmp_path / "rows.csv"
    write(path, rows, end=end)
    fast = read_csv_rows(path, COLUMNS, ErrorPolicy())
    place = min(bad, len(rows))
    write(path, [*rows[:place], ["x", "one", "2"], *rows[place:]], end=end)
    policy = ErrorPolicy("skip")
    slow = read_csv_rows(path, COLUMNS, policy)
    assert [(fault.line, fault.value) for fault in policy.faults] == [(place + 2, "one")]
    for rows_read in (fast, slow):
        codes, names = rows_read.codes("name")
        assert [names[int(code)].as_py() for code in codes] == [row[0] for row in rows]
        assert rows_read.numbers("count").tolist() == [row[1] for row in rows]
        assert rows_read.numbers("size").tolist() == [row[2] for row in rows]
    assert [slow.line(row) for row in range(len(rows))] == [row + 2 + (row >= place) for row in range(len(rows))]
    assert [fast.line(row) for row in range(len(rows))] == list(range(2, 2 + len(rows)))


def test_lines_survive_filters_blank_lines_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('name,count,size\n\na,1,1\n"b\nb",2,2\n\nc,3,3\nd,-4,4\n')
    policy = ErrorPolicy("skip")
    rows = read_csv_rows(path, COLUMNS, policy)
    rows = rows.drop(rows.numbers("size") == 1, "first")
    rows = rows.drop(rows.numbers("count") < 0, "negative", "name", "count")
    assert [rows.line(row) for row in range(len(rows))] == [5, 7]
    assert [fault.line for fault in policy.faults] == [3, 8]
    assert policy.faults[1].value == {"name": "d", "count": -4}


def test_all_faults_are_counted_and_the_first_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("name,count,size\n" + "a,b,c\n" * 5000)
    policy = ErrorPolicy("skip")
    assert len(read_csv_rows(path, COLUMNS, policy)) == 0
    assert (policy.total, len(policy.faults)) == (5000, LISTED_PER_REASON)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(DataError, match='use "raise" or "skip"'):
        ErrorPolicy("ignore")  # type: ignore[arg-type]
