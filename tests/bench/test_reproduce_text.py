"""``microg4m reproduce caption|vqa``: texts of known scores are judged rightly; unknown settings are named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.bench.published import published_tables
from microg4m_hf.bench.reproduction import text_rows
from microg4m_hf.bench.reproduction.text_rows import find_text_row
from microg4m_hf.cli.main import main
from microg4m_hf.errors import RecipeError
from microg4m_hf.inference.items import PAPER_FRAMES
from microg4m_hf.metrics import vqa_scores

SCORES = ("cider", "bleu_4", "rouge_l")
QWEN = "Qwen/Qwen2.5-VL-7B-Instruct"


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    """References and predictions; every third answer is another one."""
    answers = ["a man in a blue suit", "two tools float", "near the hatch", "Not mentioned", "a laptop and a cable"]
    names = [(f"film{number % 4}_{number:03d}", f"What is at {number}?") for number in range(20)]
    files = []
    for name, step in (("references", 1), ("predictions", 3)):
        rows = [
            {"video_id": clip, "question": question, "answer": answers[(place + (place % step > 1)) % len(answers)]}
            for place, (clip, question) in enumerate(names)
        ]
        files.append(tmp_path / f"{name}.jsonl")
        files[-1].write_text("\n".join(map(json.dumps, rows)))
    return files[0], files[1]


def plant(monkeypatch: pytest.MonkeyPatch, texts: tuple[Path, Path], off: float = 0.0) -> None:
    """Print the scores of these predictions in the table, or others."""
    result = vqa_scores(str(texts[1]), str(texts[0]), resamples=0)
    tables = published_tables()
    row = tables["vqa"].row("Qwen2.5-VL")
    printed = {**row.scores, **{name: round(100 * result["scores"][name], 2) + off for name in SCORES}}
    planted = dataclasses.replace(tables["vqa"], rows=(dataclasses.replace(row, scores=printed),), size={"used": 20})
    monkeypatch.setattr(text_rows, "published_tables", lambda: {**tables, "vqa": planted})


def run(*words: str, out: Path) -> tuple[int, dict[str, Any]]:
    code = main(["reproduce", "vqa", *words, "--metrics", ",".join(SCORES), "--out", str(out)])
    (row,) = json.loads((out / "reproduce.json").read_text())["kinds"]["vqa"]["rows"]
    return code, row


def test_predictions_of_known_scores(
    texts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [QWEN, "--predictions", str(texts[1]), "--references", str(texts[0])]
    plant(monkeypatch, texts)
    code, row = run(*words, out=tmp_path / "same")
    assert code == 0 and row["summary"] == "reproduced to the digit" and list(row["scores"]) == list(SCORES)
    printed = capsys.readouterr().out
    assert "the paper tells the number of frames only; it does not tell: the checkpoint" in printed
    plant(monkeypatch, texts, off=1.0)
    code, row = run(*words, out=tmp_path / "off")
    assert code == 1 and row["summary"] == "differs: CIDEr -1.00, BLEU-4 -1.00, ROUGE-L -1.00"
    plant(monkeypatch, texts)
    texts[1].write_text("\n".join(texts[1].read_text().splitlines()[1:]))
    code, row = run(*words, out=tmp_path / "fewer")
    assert code == 1 and "1 items without a prediction" in row["faults"]


def test_a_run_uses_the_published_frames_and_says_what_it_chose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["blind", "--row", "Qwen2.5-VL", "--source", "sample"]
    code, row = run(*words, out=tmp_path / "out")
    assert code == 1 and row["faults"][0] == "texts of the baseline blind, published Qwen2.5-VL"
    settings = json.loads((tmp_path / "out" / "vqa-blind" / "settings.json").read_text())
    assert settings["frames"] == 9
    assert "the prompts (here default)" in capsys.readouterr().out
    before = (tmp_path / "out" / "vqa-blind" / "predictions.jsonl").read_bytes()
    assert run(*words, out=tmp_path / "out")[0] == 1
    assert (tmp_path / "out" / "vqa-blind" / "predictions.jsonl").read_bytes() == before
    # The same texts as those of a model, with another number of frames.
    settings |= {"model": QWEN, "runner": "local", "frames": 4}
    (tmp_path / "out" / "vqa-blind" / "settings.json").write_text(json.dumps(settings))
    code, row = run(
        QWEN, "--predictions", str(tmp_path / "out" / "vqa-blind"), "--source", "sample", out=tmp_path / "p"
    )
    assert code == 1 and row["faults"][0] == "4 frames, published 9"
    assert f"model {QWEN}" in row["notes"][0] and "max new tokens 256, temperature 0.0" in row["notes"][0]


def test_every_published_model_finds_its_row() -> None:
    for task in ("caption", "vqa"):
        for row in published_tables()[task].rows:
            assert find_text_row(task, row.name)[0] == row
            assert any(part in row.name.lower().replace(" ", "-") for part in PAPER_FRAMES)
    ids = {
        "gpt-4o-2024-08-06": "GPT-4o",
        "gemini-1.5-pro": "Gemini 1.5 Pro",
        "llava-hf/LLaVA-NeXT-Video-7B": "LLaVA-NeXT",
    }
    assert {name: find_text_row("vqa", name)[0].name for name in ids} == ids
    with pytest.raises(RecipeError, match="llama is no model of the published vqa table; name its row with --row"):
        find_text_row("vqa", "llama")


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["--predictions", "none.jsonl", "--source", "sample"], 2, "none.jsonl does not exist"),
        (["--references", "x.json"], 2, "--references is for --predictions"),
        (["--predictions", "x", "--references", "y", "--source", "sample"], 2, "both name the references"),
        (["--predictions", "answers.jsonl", "--source", "sample", "--metrics", "mover"], 2, "has no score 'mover'"),
    ],
)
def test_what_cannot_work_is_one_line(
    words: list[str],
    code: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.jsonl").write_text('{"video_id": "a_001", "question": "Who?", "answer": "me"}')
    assert main(["reproduce", "vqa", QWEN, *words]) == code
    out, err = capsys.readouterr()
    assert reason in out + err


def test_a_metric_that_cannot_run_is_named(
    texts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without Java
    words = ["--predictions", str(texts[1]), "--references", str(texts[0]), "--out", str(tmp_path / "out")]
    assert main(["reproduce", "vqa", QWEN, *words, "--metrics", "rouge_l,meteor_1_5"]) == 1
    out = capsys.readouterr().out
    assert "METEOR 1.5 cannot be computed: " in out and "not compared: METEOR 1.5" in out
