"""Names and texts of strangers do no harm in a terminal, a page, a table or a path, and broken runs stop no report."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.bench import make_report
from microg4m_hf.bench.render.latex import latex_text
from microg4m_hf.bench.scoring import ScoringOptions
from microg4m_hf.cli.main import main
from microg4m_hf.errors import RecipeError
from microg4m_hf.metrics import vqa_scores
from microg4m_hf.training.push import push_run
from microg4m_hf.training.recipe_io import recipe_from
from microg4m_hf.training.run_folder import RunFolder
from tests.support.report_runs import har_run, labeled_items

HOSTILE = "red\x1b[31m\x07\u202e\x9b2J\u2028\u2066x"
QUICK = ScoringOptions(resamples=0)
BROKEN = {
    "empty": b"",
    "binary": bytes(range(256)),
    "list": b"[1, 2]",
    "null": b"null",
    "deep": b"[" * 5000,
    "other": b'{"test": {"scores": {"map": "x"}}, "task": "vqa", "data": {"scheme": [1], "data_dir": 5}, "model": [1]}',
    "more": b'{"test": [1], "task": {"a": 1}, "data": 3, "runner": [1], "failed": {"a": 1}, "frames": [1], "steps": 7}',
    "huge": b'{"test": {"scores": {"map": ' + b"9" * 5000 + b"}}}",
}


def _raw_controls(text: str) -> set[str]:
    kinds = {letter: unicodedata.category(letter) for letter in set(text) - {"\n", "\t"}}
    return {letter for letter, kind in kinds.items() if kind in ("Cc", "Cs", "Zl", "Zp") or letter in "\u202e\u2066"}


def test_control_characters_reach_no_terminal_and_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = har_run(tmp_path / "run", labeled_items(), noise=1.0)
    lines = [{"video_id": "cabinCam_03_011", "question": HOSTILE, "answer": HOSTILE}]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = [f"{HOSTILE}={run}", f"{HOSTILE} 2={tmp_path / 'answers.jsonl'}", "--source", "sample"]
    assert main(["report", *words, "--out", str(tmp_path / "out"), "--resamples", "20"]) == 1
    assert main(["score", "vqa", "--predictions", str(tmp_path / "answers.jsonl"), "--source", "sample"]) == 2
    shown = capsys.readouterr()
    assert not _raw_controls(shown.out + shown.err.replace("\r", ""))  # of progress bars
    assert "\\x1b[31m" in shown.out and "\\x1b[31m" in shown.err
    files = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".html", ".md", ".tex", ".svg")]
    assert len(files) > 5
    for path in files:
        assert not _raw_controls(path.read_text()), path.name


def test_no_name_is_an_option_of_latex() -> None:
    """After the end of a row, LaTeX takes ``[2cm]`` and ``*`` for options of that end."""
    assert latex_text("[2cm]") == "{[}2cm{]}"
    assert latex_text("*bold") == "{*}bold"


def test_runs_whose_names_are_alike_keep_their_own_files(tmp_path: Path) -> None:
    items, names = labeled_items(), ("run 1", "run_1", "Run-1", "run-1-2", "…", "?")
    runs = [har_run(tmp_path / str(place), items, noise=place) for place in range(len(names))]
    words = [f"{name}={run}" for name, run in zip(names, runs, strict=True)]
    make_report(words, tmp_path / "out", options=QUICK, details=len(names))
    for pattern in ("*-parts-*.tex", "*-pairs.tex"):
        written = [
            path.name
            for path in (tmp_path / "out" / "tables").glob(pattern)
            if path.name != "actions-on-the-sample-pairs.tex"
        ]
        assert len(written) == len(names), (pattern, written)
    page = (tmp_path / "out" / "report.html").read_text()
    assert len(set(re.findall(r'<details[^>]* data-run="([^"]+)"', page))) == len(names)


@pytest.mark.parametrize("name", ["../out", "a/b", "a\\b", "..", "", "/tmp/x", "a\nb", "a\x1b", "x" * 200])
def test_recipe_names_stay_in_their_folder(name: str) -> None:
    values = {"variant": "own", "model": {"name": "x3d_s"}, "data": {"num_frames": 13, "stride": 6}}
    assert recipe_from(values | {"name": "mine-1 (b)"}).name == "mine-1 (b)"
    with pytest.raises(RecipeError, match=r"name is .* run folder gets this name"):
        recipe_from(values | {"name": name})


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_questions_join_across_unicode_normal_forms(form: Any) -> None:
    references = [{"video_id": "a_001", "question": unicodedata.normalize("NFC", "Où est René ?"), "answer": "Là."}]
    predictions = [{"video_id": "a_001", "question": unicodedata.normalize(form, "Où est René ? "), "answer": "Là."}]
    for one, two in ((predictions, references), (references, predictions)):
        assert vqa_scores(one, two, resamples=0)["scores"]["exact_match"] == 1.0


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_files_of_runs_are_reasons_and_no_ends(content: bytes, tmp_path: Path) -> None:
    good = har_run(tmp_path / "good", labeled_items(), noise=1.0)
    text = tmp_path / "text"
    assert (
        main(["predict", "vqa", "--model", "majority", "--source", "sample", "--limit", "1", "--out", str(text)]) == 0
    )
    runs = [good, text]
    for whole, names in (
        (good, ("config.yaml", "results.json", "predictions/test.parquet", "metrics.jsonl")),
        (text, ("settings.json", "results.json", "data.json", "predictions.jsonl")),
    ):
        for name in names:
            runs.append(Path(shutil.copytree(whole, tmp_path / f"{whole.name}-{Path(name).stem}")))
            (runs[-1] / name).write_bytes(content)
    data = make_report(runs, tmp_path / "out", source="sample", options=QUICK)
    scored = {Path(run["path"]) for found in data["tasks"].values() for run in found["systems"]}
    reasons = {Path(one["path"]): one["why"] for one in data["not_scored"]}
    assert {good, text} <= scored and scored | set(reasons) == set(runs)
    assert {tmp_path / "good-test", tmp_path / "text-predictions", tmp_path / "text-data"} <= set(reasons)
    assert all(reasons.values())

    folder = RunFolder(tmp_path / "good-metrics")
    folder.log({"step": 3})
    folder.truncate_log(5)
    assert folder.read_log()[-1] == {"step": 3}
    broken = RunFolder(tmp_path / "good-results")
    assert broken.read_summary(7) is None
    (broken.model).mkdir()
    (broken.model / "README.md").write_text("card")
    with pytest.raises(RecipeError, match="no test scores that can be read"):
        push_run(broken.path, "me/model")


def test_released_results_are_runs(shared: Path, tmp_path: Path) -> None:
    """The folders of the authors' evaluation, alone or all together, give the published rows."""
    folder = shared / "data" / "har_predictions"
    data = make_report([folder], tmp_path / "out", data_dir=str(shared / "data" / "microg4m"), options=QUICK, details=0)
    [found] = data["tasks"].values()
    scores = {run["name"]: round(100 * run["scores"]["map"], 3) for run in found["systems"]}
    assert scores["I3D_8x8_R50"] == 46.409 and scores["X3D_S"] == 14.068 and len(scores) == 5
    assert all(run["same_protocol"] for run in found["systems"])
    assert not any("results.json records" in note for run in found["systems"] for note in run["notes"])


def test_messages_name_options_and_absent_metrics_their_way(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["predict", "caption", "--model", "blind", "--source", "sample", "--out", str(run)]) == 0
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[1:]))
    (tmp_path / "void.jsonl").write_text("".join(json.dumps(line | {"caption": " "}) + "\n" for line in lines))
    for name, option in (("few", "--missing zero"), ("void", "--on-empty score")):
        assert main(["score", "caption", "--predictions", str(tmp_path / f"{name}.jsonl"), "--source", "sample"]) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert option in message and "='" not in message
    release = str(shared / "data" / "microg4m")
    assert main(["predict", "caption", "--model", "majority", "--data-dir", release, "--out", str(run) + "2"]) == 0
    make_report([Path(f"{run}2")], tmp_path / "out", options=QUICK)
    page = (tmp_path / "out" / "report.md").read_text()
    assert "--metrics bleu,cider,rouge_l,meteor_1_5,sbert,bertscore" in page and "microg4m-hf\\[meteor]" in page
