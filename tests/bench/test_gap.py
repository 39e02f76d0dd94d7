"""``microg4m gap transfer`` and ``leak`` on predictions with a known gap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from microg4m_hf.bench.gap import leak_gap, transfer_gap
from microg4m_hf.bench.gap_pages import differences_document
from microg4m_hf.bench.render import write_document
from microg4m_hf.bench.report import make_report
from microg4m_hf.cli.main import main
from microg4m_hf.errors import PredictionError
from microg4m_hf.taxonomy import ACTION_IDS
from tests.support.har_split import draw
from tests.support.report_runs import har_run, labeled_items


def _csv(path: Path, rows: list[tuple]) -> Path:
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def _padded(rows: list[tuple]) -> list[tuple]:
    """Return every box with a score for all fifty actions."""
    boxes = dict.fromkeys(row[:6] for row in rows)
    given = {row[:7]: row[7] for row in rows}
    return [(*box, action, given.get((*box, action), -9.0)) for box in boxes for action in ACTION_IDS]


def test_transfer_compares_shared_actions(tmp_path: Path) -> None:
    """A model is good on one side and random on the other; actions of one side only do not count."""
    truth, found = draw(seed=3, clips=60, sources=12, ids=(1, 12, 14, 28, 80))
    labels = {row[:7] for row in truth}
    good = [(*row[:7], 4.0 if row[:7] in labels else -4.0) for row in found]
    other, noise = draw(seed=4, clips=60, sources=12, ids=(1, 12, 28, 79, 80))
    random = np.random.RandomState(0)
    noise = [(*row[:7], float(random.randn())) for row in noise]
    result = transfer_gap(
        _csv(tmp_path / "earth.csv", _padded(good)),
        _csv(tmp_path / "earth_truth.csv", truth),
        _csv(tmp_path / "space.csv", _padded(noise)),
        _csv(tmp_path / "space_truth.csv", other),
        resamples=200,
    )
    assert {entry["action_id"] for entry in result["classes"]} == {1, 12, 80}  # 28 means another action in AVA
    assert result["matched"]["first"] == 1.0
    assert result["matched"]["difference"] > 0.2
    assert result["matched"]["interval"][0] > 0.1
    for entry in result["classes"]:
        low, high = entry["interval"]
        assert low <= entry["difference"] <= high
        assert entry["chance"][0] == pytest.approx(entry["labels"][0] / len(dict.fromkeys(row[:6] for row in good)))


def test_an_action_that_few_films_show_has_no_interval_and_no_verdict(tmp_path: Path) -> None:
    """Actions 1 and 12 occur everywhere, action 80 in one film of one side: its difference cannot be tested."""
    truth, found = draw(seed=6, clips=60, sources=12, ids=(1, 12))
    rare = [(*row[:6], 80, row[7]) for row in truth if row[0] == truth[0][0]]
    good = _padded([*found, *((*row[:7], 9.0) for row in rare)])
    everywhere = [*truth, *((*row[:6], 80, row[7]) for row in truth if row[0].endswith(("0", "5")))]
    earth, space = (_csv(tmp_path / f"{name}.csv", good) for name in ("earth", "space"))
    one, other = _csv(tmp_path / "one.csv", [*truth, *rare]), _csv(tmp_path / "other.csv", everywhere)
    result = transfer_gap(earth, one, space, other)
    by_action = {entry["action_id"]: entry for entry in result["classes"]}
    assert set(by_action) == {1, 12, 80}
    assert (by_action[80]["interval"], by_action[80]["p"], by_action[80]["real"]) == (None, None, None)
    assert by_action[1]["interval"] is not None and result["matched"]["interval"] is not None
    write_document(differences_document("Gap", "", result), result, tmp_path / "out")
    page = (tmp_path / "out" / "report.md").read_text().splitlines()
    line = next(line for line in page if line.startswith(f"| {by_action[80]['name']} "))
    assert line.split("|")[4].strip().endswith("(–)")


def test_one_film_gives_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = draw(seed=5, clips=20, sources=1)
    good, poor = (_csv(tmp_path / f"{name}.csv", _padded(found)) for name in ("good", "poor"))
    _csv(poor, _padded([(*row[:7], -row[7]) for row in found]))
    references = _csv(tmp_path / "truth.csv", truth)
    result = transfer_gap(good, references, poor, references)
    assert result["matched"]["difference"] > 0
    assert (result["matched"]["interval"], result["matched"]["p"]) == (None, None)
    words = ["gap", "transfer", "--earth", good, "--earth-references", references, "--space", poor]
    assert main([*map(str, words), "--references", str(references), "--out", str(tmp_path / "out")]) == 0
    assert "no interval and no verdict: a test needs at least 5 films" in capsys.readouterr().out
    assert main(["compare", "har", str(good), str(poor), "--references", str(references)]) == 0
    shown = capsys.readouterr().out
    assert "note: no interval and no verdict: a test needs at least 5 films" in shown
    assert not any(line.endswith("real") for line in shown.splitlines())
    make_report([good, poor], tmp_path / "report", references=str(references))
    page = (tmp_path / "report" / "report.md").read_text()
    assert "Some pairs are not tested: a test needs at least 5 films." in page
    assert main(["score", "har", "--predictions", str(good), "--references", str(references)]) == 0
    assert "no interval (–): it needs at least 5 films" in capsys.readouterr().out


def test_transfer_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = draw(seed=5, clips=20, sources=5)
    files = [_csv(tmp_path / "found.csv", _padded(found)), _csv(tmp_path / "truth.csv", truth)]
    words = ["--earth", files[0], "--earth-references", files[1], "--space", files[0], "--references", files[1]]
    words += ["--resamples", "20", "--out", tmp_path / "out"]
    assert main(["gap", "transfer", *map(str, words)]) == 0
    assert "gap +0.00" in capsys.readouterr().out
    assert "| action | Earth | space |" in (tmp_path / "out" / "report.md").read_text()


def test_leak_refuses_runs_of_different_recipes(tmp_path: Path) -> None:
    items = labeled_items()
    official = har_run(tmp_path / "official", items, noise=0.5)
    disjoint_items = labeled_items(scheme="source_disjoint")
    disjoint = har_run(tmp_path / "disjoint", disjoint_items, noise=9.0, scheme="source_disjoint")
    result = leak_gap(official, disjoint, resamples=100)
    assert result["names"] == ["official", "source_disjoint"]
    assert result["matched"]["difference"] > 0.1
    assert result["map"][0] > result["map"][1]
    with pytest.raises(PredictionError, match="made with the scheme official"):
        leak_gap(official, official)
    config = yaml.safe_load((disjoint / "config.yaml").read_text())
    config["data"]["stride"] = 2
    (disjoint / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(PredictionError, match=r"not have the same recipe.*data\.stride"):
        leak_gap(official, disjoint)
