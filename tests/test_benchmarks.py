"""The benchmarks whose results the documentation cites run, and the committed results are those of the scripts."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", PROJECT / "benchmarks" / "coverage.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_coverage_simulation_runs(coverage: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "PIECE", 6)
    first, again = (coverage.simulate_piece(7, 20, 0) for _ in range(2))
    assert all((first[name] == again[name]).all() for name in first)
    table = coverage.summarize(**first)
    assert set(table) == set(coverage.SCORES)
    for parts in table.values():
        for what, entry in parts.items():
            assert set(entry["methods"]) == set(coverage.METHODS)
            own = entry["methods"][coverage.CHOSEN]
            assert own["without its own score"] == 0 < own["width"]
            if what != "A":
                assert entry["interval and p disagree"]["now"] == 0


def test_the_committed_coverage_is_good_and_the_documented_one(coverage: ModuleType) -> None:
    found = json.loads((PROJECT / "benchmarks" / "results" / "coverage.json").read_text())
    page = (PROJECT / "docs" / "har_scores.md").read_text()
    documented = {tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in page.splitlines() if "|" in line}
    for films in (5, 15, 47):
        for score, parts in found[f"{films} films"].items():
            cells = []
            for what, entry in parts.items():
                now, before = entry["methods"][coverage.CHOSEN], entry["methods"]["percentile"]
                assert now["covered"] >= max(before["covered"], 0.85)
                if score != "rouge_l" and films > 5:
                    assert 0.9 < now["covered"] < 0.99, (films, score, what)
                cells.append(f"{100 * now['covered']:.1f} ({100 * before['covered']:.1f})")
                if what != "A":
                    assert entry["interval and p disagree"]["now"] == 0 < entry["interval and p disagree"]["before"]
            assert any(row[0] == str(films) and row[2:] == tuple(cells) for row in documented), (films, score, cells)
    assert re.search(r"benchmarks/coverage\.py", page)
