"""Runs on the sample and a report of them, shared by all tests of a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from microg4m_hf.bench import make_report
from microg4m_hf.bench.scoring import ScoringOptions
from microg4m_hf.cli.main import main
from tests.support.report_runs import caption_file, har_run, labeled_items


class ReportFolder(NamedTuple):
    folder: Path
    data: dict[str, Any]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two HAR runs, runs of both question baselines, and a caption file."""
    folder = tmp_path_factory.mktemp("runs")
    items = labeled_items()
    har_run(folder / "good", items, noise=0.5)
    har_run(folder / "noisy & <b>odd", items, noise=6.0, seed=1)
    for baseline in ("blind", "majority"):
        words = ["predict", "vqa", "--model", baseline, "--source", "sample", "--out", str(folder / f"vqa-{baseline}")]
        assert main(words) == 0
    caption_file(folder / "captions.json", keep=0.8)
    return folder


@pytest.fixture(scope="session")
def report(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> ReportFolder:
    out = tmp_path_factory.mktemp("report") / "out"
    options = ScoringOptions(resamples=100)
    return ReportFolder(
        out, make_report([runs, runs / "captions.json"], out, source="sample", options=options, png=True)
    )
