"""A report scores every run once."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.bench import make_report
from microg4m_hf.bench.scoring import ScoringOptions
from microg4m_hf.metrics.har.statistics import compute_statistics


def test_every_har_run_is_scored_once(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statistics are computed once for the whole split and once for each domain."""
    calls: Counter[tuple[int, int]] = Counter()

    def counting(aligned: Any, *arguments: Any, **options: Any) -> Any:
        calls[len(aligned.predictions), int(aligned.predictions.score.sum() * 1000)] += 1
        return compute_statistics(aligned, *arguments, **options)

    for module in list(sys.modules.values()):
        if getattr(module, "compute_statistics", None) is compute_statistics and module.__name__ != __name__:
            monkeypatch.setattr(module, "compute_statistics", counting)
    names = ("good", "noisy & <b>odd")
    data = make_report([runs / name for name in names], tmp_path, source="sample", options=ScoringOptions(resamples=20))
    scored = data["tasks"]["Actions on the sample"]["systems"]
    assert [run["name"] for run in scored] == list(names)
    domains = {domain for run in scored for domain in run["by"]["domain"]}
    assert all("intervals" in run["by"]["domain"][domain] for run in scored for domain in domains)
    assert set(calls.values()) == {1}
    assert len(calls) == 2 * (1 + len(domains))
