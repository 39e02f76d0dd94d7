"""The benchmarks whose results the documentation cites run."""

from __future__ import annotations

import importlib.util
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
