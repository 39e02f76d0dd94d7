"""Published tables have sources, and match the tables of the protocol document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from microg4m_hf.bench import published_tables


def test_rows_have_unique_names_and_every_column() -> None:
    for table in published_tables().values():
        names = [(row.name, row.setting) for row in table.rows]
        assert len(set(names)) == len(names)
        for row in table.rows:
            assert tuple(row.scores) == table.columns
        assert table.source
        assert table.protocol["protocol"] == "paper"


def test_unknown_row_is_an_error_that_lists_the_rows() -> None:
    with pytest.raises(KeyError, match="C2D R50"):
        published_tables()["har"].row("resnet")


def test_numbers_match_the_protocol_document(shared: Path) -> None:
    """The rows of the document are in the tables, in the same order."""
    text = (shared / "PROTOCOL.md").read_text(encoding="utf-8")
    printed = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        # A cell may carry a remark behind its number.
        matches = [re.fullmatch(r"(\d+\.\d\d)(?: \(.*\))?", cell) for cell in cells]
        numbers = [float(number[1]) for number in matches if number]
        if len(numbers) in (4, 6) and not cells[1].replace(".", "").startswith("12.86"):
            printed.append(numbers)
    tables = published_tables()
    ours = [list(row.scores.values()) for row in (*tables["har"].rows, *tables["har_zero_shot"].rows)]
    ours += [list(row.scores.values()) for name in ("caption", "vqa") for row in tables[name].rows]
    wanted = [numbers for numbers in printed if numbers in ours]
    assert wanted == ours
    earth = re.search(r"JHMDB \|\s*\|\s*\| ([\d.]+) / ([\d.]+) \|\s*\|\s*\| ([\d.]+) / ([\d.]+)", text)
    assert earth is not None
    first, second = tables["jhmdb_zero_shot"].rows
    found = [first.scores["map"], second.scores["map"], first.scores["auroc"], second.scores["auroc"]]
    assert [float(value) for value in earth.groups()] == found
