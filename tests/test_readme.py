"""The README links files and names targets that exist; its code and commands run in ``test_wheel.py``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from microg4m_hf.bench import published_tables

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_link_targets_exist(target: str) -> None:
    assert (PROJECT / target).exists()


def test_every_make_target_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"(?:^|`)make (\w+)", README, re.M))
    assert {"demo", "test", "docs"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M)


def test_the_table_of_results_is_the_published_one() -> None:
    table = published_tables()["har"]
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| (.*) \|$", README, re.M)
    assert len(rows) == 5
    for name, *scores, others in rows:
        printed = [table.row(name).scores[score] for score in ("map", "f1", "recall", "auroc")]
        assert [float(score) for score in scores] == pytest.approx(printed, abs=0.011)  # 42.09 and 42.10, see there
        for other, score in re.findall(r"`(\w+)` ([\d.]+)", others):
            assert table.row(other).scores["map"] == float(score)
