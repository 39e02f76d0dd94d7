"""The evaluate modules for texts, loaded from their folders: batches, files, combinations and two processes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf import load_dataset
from microg4m_hf.errors import PredictionError, RecipeError
from microg4m_hf.metrics import caption_scores, text_scores, vqa_scores
from tests.support.text_two_processes import items
from tests.support.warm_python import warm_python

PROJECT = Path(__file__).resolve().parents[2]
SCORES = {"caption": caption_scores, "vqa": vqa_scores}


def _load(task: str) -> Any:
    import evaluate

    return evaluate.load(str(PROJECT / "metrics" / f"microg4m_{task}"), keep_in_memory=True)


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["video_id"], row.get("question", "")))


@pytest.mark.parametrize("task", ["caption", "vqa"])
def test_batches_equal_one_call(task: str) -> None:
    predictions, references = items(task)
    expected = SCORES[task](_sorted(predictions), _sorted(references))
    metric = _load(task)
    whole = metric.compute(predictions=predictions, references=references, details=True)
    assert whole["scores"] == expected["scores"] and whole["intervals"] == expected["intervals"]
    for start in range(0, len(predictions), 5):
        metric.add_batch(predictions=predictions[start : start + 5], references=references[start : start + 5])
    assert metric.compute()["cider"] == expected["scores"]["cider"]
    for one, other in zip(reversed(predictions), reversed(references), strict=True):
        metric.add(prediction=one, reference=other)
    assert metric.compute()["bleu_4"] == expected["scores"]["bleu_4"]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    command = [warm_python(), "-m", "tests.support.text_two_processes", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    started = [
        subprocess.Popen([*command, str(rank)], cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    errors = [process.communicate(timeout=900)[1] for process in started]
    assert (tmp_path / "rank0.json").exists(), errors[0][-2000:]
    both = json.loads((tmp_path / "rank0.json").read_text())
    for task, result in both.items():
        predictions, references = items(task)
        assert result == _load(task).compute(predictions=predictions, references=references)
    assert json.loads((tmp_path / "rank1.json").read_text()) == {"caption": None, "vqa": None}


def test_plain_strings_and_several_references() -> None:
    predictions, references = ["a cat sits", "two dogs run"], ["a cat sat", "two dogs ran"]
    expected = text_scores(predictions, references)["scores"]
    assert _load("caption").compute(predictions=predictions, references=references)["cider"] == expected["cider"]
    several = [[one, "something else"] for one in references]
    expected = text_scores(predictions, several)["scores"]
    assert _load("caption").compute(predictions=predictions, references=several)["bleu_2"] == expected["bleu_2"]
    answers = _load("vqa").compute(predictions=["Not mentioned", "Blue."], references=["Red", "blue"])
    assert answers["refusal_rate"] == 0.5 and answers["exact_match"] == 0.5


@pytest.mark.parametrize("task", ["caption", "vqa"])
def test_references_may_be_rows_of_the_dataset(task: str) -> None:
    rows = load_dataset(task, source="sample", split="test")
    text = "caption" if task == "caption" else "answer"
    keys = [name for name in ("video_id", "question", text) if name in rows.column_names]
    predictions = [{name: row[name] for name in keys} | {text: f"{row[text]} Also this."} for row in rows][::-1]
    expected = SCORES[task](predictions, rows)["scores"]
    metric = _load(task)
    plain = list(rows)
    for references in (rows, plain):
        # The modules sort the items, so sums may differ in the last digit.
        result = metric.compute(predictions=predictions, references=references)
        assert result["cider"] == pytest.approx(expected["cider"], rel=1e-12)
    for prediction, reference in zip(predictions, reversed(plain), strict=True):
        metric.add(prediction=prediction, reference=reference)
    assert metric.compute()["bleu_4"] == expected["bleu_4"]


def test_rouge_has_the_values_of_its_package() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    predictions, references = ["The cats sat.\nAll day!", ""], ["A cat sat\nall day", "Two dogs"]
    names = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_lsum": "rougeLsum"}
    metric = _load("caption")
    result = metric.compute(
        predictions=predictions, references=references, metrics=[*names, "rouge_l"], on_empty="score", details=True
    )
    pairs = list(zip(references, predictions, strict=True))
    for name, key in names.items():
        values = [RougeScorer([key]).score(*pair)[key].fmeasure for pair in pairs]
        assert sorted(result["items"][name]) == sorted(values)
        assert result[name] == sum(values) / 2 > 0
    assert result["rouge_lsum"] != result["rouge_l"]  # another metric, under another name
    assert "rouge_score:" in result["signature"]
    with pytest.raises(RecipeError, match="ROUGE has several forms; say 'rouge_l'"):
        metric.compute(predictions=predictions, references=references, metrics=["rouge"], on_empty="score")


def test_files(tmp_path: Path) -> None:
    predictions, references = items("vqa")
    paths = [tmp_path / "predictions.jsonl", tmp_path / "references.jsonl"]
    for path, rows in zip(paths, (predictions, references), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = _load("vqa").compute(
        predictions=str(paths[0]), references=str(paths[1]), protocol="coco", metrics=["bleu"]
    )
    assert (
        result["bleu_1"] == vqa_scores(predictions, references, protocol="coco", metrics=["bleu"])["scores"]["bleu_1"]
    )
    assert "tokenizer:ptb" in result["signature"]
    assert (
        _load("vqa").compute(predictions=paths[0], references=references, protocol="coco", metrics=["bleu"]) == result
    )


def test_combine() -> None:
    import evaluate

    predictions, references = items("caption")
    both = evaluate.combine([_load("caption")])
    both.add_batch(predictions=predictions, references=references)
    assert both.compute()["rouge_l"] == caption_scores(_sorted(predictions), _sorted(references))["scores"]["rouge_l"]


def test_repeats_of_a_padding_sampler_count_once_and_conflicts_raise() -> None:
    predictions, references = items("caption")
    metric = _load("caption")
    padded = metric.compute(predictions=predictions + predictions[:2], references=references + references[:2])
    assert padded["cider"] == metric.compute(predictions=predictions, references=references)["cider"]
    other = [*predictions, {**predictions[0], "caption": "another one"}]
    with pytest.raises(PredictionError, match="has another prediction already"):
        metric.compute(predictions=other, references=[*references, references[0]])


@pytest.mark.parametrize("task", ["caption", "vqa"])
def test_folder_is_ready_to_push(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate
    import yaml

    folder = PROJECT / "metrics" / f"microg4m_{task}"
    head = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert head["sdk"] == "gradio" and (folder / head["app_file"]).is_file()
    assert {"evaluate", "metric"} <= set(head["tags"])
    assert "microg4m-hf" in (folder / "requirements.txt").read_text()
    monkeypatch.chdir(PROJECT)
    assert evaluate.load(f"metrics/microg4m_{task}", keep_in_memory=True).name == f"microg4m_{task}"
