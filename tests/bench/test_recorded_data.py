"""A run records what it was asked, and ``score``, ``compare`` and ``report`` take it from there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.bench import make_report
from microg4m_hf.bench.gap import leak_gap
from microg4m_hf.bench.scoring import ScoringOptions
from microg4m_hf.cli.main import main
from microg4m_hf.data import ensure_sample, load_dataset
from microg4m_hf.data.run_data import RunData
from microg4m_hf.errors import PredictionError
from microg4m_hf.metrics import compare, har_scores, write_predictions
from tests.support.report_runs import har_run, labeled_items

TEST_SPLIT = ["--source", "sample", "--scheme", "official", "--split", "test"]
QUICK = ScoringOptions(resamples=0)


def _predict(folder: Path, *words: str, task: str = "vqa", model: str = "majority") -> Path:
    assert main(["predict", task, "--model", model, "--out", str(folder), *words]) == 0
    return folder


def _score(run: Path, *words: str, task: str = "vqa") -> dict[str, Any]:
    output = run / "scores.json" if run.is_dir() else run.with_name("scores.json")
    words = ("score", task, "--predictions", str(run), "--resamples", "0", "--output", str(output), *words)
    assert main(list(words)) == 0
    return json.loads(output.read_text())


def test_a_run_on_a_split_is_scored_on_that_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without ``--scheme``, a run of 36 questions would be scored against all 180."""
    run = _predict(tmp_path / "run", *TEST_SPLIT)
    data = json.loads((run / "data.json").read_text())
    place = [data[name] for name in ("source", "revision", "scheme", "split", "count")]
    rows: Any = load_dataset("vqa", source="sample", scheme="official", split="test", videos=False)
    assert place == ["sample", None, "official", "test", len(rows)]
    assert {tuple(item) for item in data["items"]} == set(zip(rows["video_id"], rows["question"], strict=True))
    expected = _score(run, *TEST_SPLIT)
    for predictions in (run, run / "predictions.jsonl"):
        found = _score(predictions)
        assert found["scores"] == expected["scores"] and found["counts"]["used"] == len(rows)
    assert "references: the built-in sample, scheme official, split test" in capsys.readouterr().out
    for words in ({}, {"source": "sample"}):
        report = make_report([run], tmp_path / "report", options=QUICK, **words)
        [section] = report["tasks"].values()
        assert section["systems"][0]["scores"]["exact_match"] == expected["scores"]["exact_match"]
    assert "split test" in (tmp_path / "report" / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["--split", "validation"], "leave --split out"),
        (["--scheme", "source_disjoint"], "leave --scheme out"),
        (["--references", "x.json", "--split", "test"], "--references and --split both name the references"),
        (["--references", "few.json"], "made with --source sample --scheme official --split test"),
    ],
)
def test_what_does_not_fit_a_run_is_refused_with_the_option(
    words: list[str], cure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = _predict(tmp_path / "run", *TEST_SPLIT)
    entries = json.loads((ensure_sample() / "vqa_and_captioning.json").read_text())
    Path("few.json").write_text(json.dumps(entries[:2]))
    for command in (["score", "vqa", "--predictions", str(run)], ["compare", "vqa", str(run), str(run)]):
        assert main([*command, *words]) == 2
        assert cure in capsys.readouterr().err
    with pytest.raises(PredictionError, match="no run could be scored"):
        make_report([run], tmp_path / "report", scheme="source_disjoint", options=QUICK)


def test_a_limited_run_is_scored_on_what_it_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few, all_of_it = _predict(tmp_path / "few", *TEST_SPLIT, "--limit", "2"), _predict(tmp_path / "all", *TEST_SPLIT)
    asked = RunData.read(few)
    assert asked is not None
    result = _score(few)
    assert (result["counts"]["used"], result["counts"]["missing"]) == (len(asked.items), 0)
    assert f"{len(asked.items)} of 36 questions" in capsys.readouterr().out
    assert main(["compare", "vqa", str(few), str(all_of_it), "--resamples", "20"]) == 0
    assert f"{len(asked.items)} of 36 questions" in capsys.readouterr().out
    report = make_report([few, all_of_it], tmp_path / "report", options=QUICK)
    sizes = {title: found["systems"][0]["recipe"]["used"] for title, found in report["tasks"].items()}
    assert sorted(sizes.values()) == [len(asked.items), 36]


def test_a_run_without_a_record_is_scored_with_a_stated_assumption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _predict(tmp_path / "run", "--source", "sample")
    with_record = _score(run)["scores"]
    (run / "data.json").unlink()
    assert _score(run, "--source", "sample")["scores"] == with_record
    assert "run does not record its split: all of them assumed" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[1]", b'{"items": 3}', b'{"items": ["a"], "digest": "0"}'])
def test_a_damaged_record_is_named(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _predict(tmp_path / "run", "--source", "sample", "--limit", "1")
    (run / "data.json").write_bytes(content)
    assert main(["score", "vqa", "--predictions", str(run)]) == 2
    assert "data.json" in capsys.readouterr().err


def test_a_file_of_actions_brings_its_split_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = labeled_items(split="validation")
    run = har_run(tmp_path / "run", items, noise=0.5, split="validation")
    file = str(shutil.copy(run / "predictions" / "validation.parquet", tmp_path / "alone.parquet"))
    assert _score(Path(file), task="har")["counts"]["missing"] == 0
    assert "scheme official, split validation" in capsys.readouterr().out
    assert main(["score", "har", "--predictions", file, "--split", "test"]) == 2
    assert "predicts split validation of scheme official" in capsys.readouterr().err
    report = make_report([file], tmp_path / "report", options=QUICK)
    assert list(report["tasks"]) == ["Actions on the sample, validation"]


def test_compare_knows_what_the_scores_of_each_file_are(tmp_path: Path) -> None:
    """One file holds probabilities, the other logits; ``instance`` applies its threshold to probabilities."""
    boxes = [[0.0, 0.0, 1.0, 1.0]] * 4
    videos = ["a_001", "b_001", "c_001", "d_001"]
    truth = [(video, 1, *box, 1) for video, box in zip(videos, boxes, strict=True)]
    files = []
    for kind in ("logits", "probabilities"):
        place = {"video_id": videos, "frame": [1] * 4, "boxes": boxes, "scores": [[0.4] * 50] * 4}
        files.append(write_predictions(tmp_path / f"{kind}.parquet", **place, about={"scores_are": kind}))
    alone = [har_scores(file, truth, protocol="instance")["scores"]["recall"] for file in files]
    assert alone == [1 / 50, 0.0]
    found = compare(*files, truth, protocol="instance", resamples=10)["scores"]["recall"]
    assert [found["first"], found["second"]] == alone


def test_compare_and_report_tell_missing_from_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = _predict(tmp_path / "whole", *TEST_SPLIT)
    partial = shutil.copytree(whole, tmp_path / "partial")
    lines = [json.loads(line) for line in (partial / "predictions.jsonl").read_text().splitlines()]
    lines[4]["answer"] = ""
    lines[5]["answer"] = "  "
    (partial / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[3:]))
    assert main(["compare", "vqa", str(whole), str(partial), "--resamples", "20"]) == 0
    shown = capsys.readouterr().out
    assert "note: partial: 3 items have no prediction and count as zero" in shown
    assert "note: partial: 2 predictions are empty texts and are scored as they are" in shown
    assert main(["compare", "vqa", str(whole), str(partial), "--missing", "error"]) == 2
    data = make_report([whole, partial], tmp_path / "report", options=QUICK)
    notes = {run["name"]: " ".join(run["notes"]) for found in data["tasks"].values() for run in found["systems"]}
    assert "3 items have no prediction" in notes["partial (baseline)"]
    assert "2 predictions are empty texts" in notes["partial (baseline)"]

    items = labeled_items()
    runs = [har_run(tmp_path / f"har{share}", items, noise=1.0, share=share) for share in (1.0, 0.5)]
    assert main(["compare", "har", *map(str, runs), "--resamples", "20"]) == 0
    assert "labeled boxes have no prediction and count as zero" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["vqa", "caption"])
def test_baselines_are_marked_in_every_table(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Captions have baselines, too; a baseline never repeats a reference of the film that it describes."""
    runs = [_predict(tmp_path / model, "--source", "sample", task=task, model=model) for model in ("blind", "majority")]
    rows: Any = load_dataset(task, source="sample", split="test", videos=False)
    field = "caption" if task == "caption" else "answer"
    elsewhere: dict[str, set[str]] = {}
    for text, source in zip(rows[field], rows["source"], strict=True):
        for film in set(rows["source"]) - {source}:
            elsewhere.setdefault(film, set()).add(text)
    for run in runs:
        lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
        assert all(line[field] in elsewhere[line["video_id"].rpartition("_")[0]] for line in lines)
    capsys.readouterr()
    _score(runs[0], task=task)
    assert "note: a baseline repeats references of other films" in capsys.readouterr().out
    assert main(["compare", task, *map(str, runs), "--resamples", "20"]) == 0
    assert "| blind (baseline)| majority (baseline)|" in capsys.readouterr().out
    make_report(runs, tmp_path / "report", options=ScoringOptions(resamples=20), eval_results=True)
    page = (tmp_path / "report" / "report.md").read_text()
    tables = [path.read_text() for path in (tmp_path / "report" / "tables").glob("*-scores.tex")]
    rows = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    for table in [*tables, re.sub(r"\S*/\S*", "", rows)]:  # without the names of files
        assert table.count("majority") == table.count("majority (baseline)") > 0
    assert not (tmp_path / "report" / "eval_results").exists()


def test_leak_accepts_prediction_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sides = {}
    for scheme in ("official", "source_disjoint"):
        run = har_run(tmp_path / scheme, labeled_items(scheme=scheme), noise=1.0, scheme=scheme)
        sides[scheme] = run, Path(shutil.copy(run / "predictions" / "test.parquet", tmp_path / f"{scheme}.parquet"))
    (one, one_file), (two, two_file) = sides.values()
    whole = leak_gap(one, two, resamples=20)
    assert leak_gap(one_file, two_file, resamples=20)["matched"] == whole["matched"]
    with pytest.raises(PredictionError, match="made with the scheme source_disjoint"):
        leak_gap(two_file, two_file)
    words = ["gap", "leak", str(one_file), str(two_file), "--resamples", "20", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "gap " in capsys.readouterr().out
