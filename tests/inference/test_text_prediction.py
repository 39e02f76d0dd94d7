"""``predict_texts`` writes the same files as ``microg4m predict``, whose old option spellings still work."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from microg4m_hf import inference
from microg4m_hf.cli import predict_text
from microg4m_hf.cli.main import main
from microg4m_hf.data import load_dataset
from microg4m_hf.errors import RecipeError
from microg4m_hf.inference import Endpoint, IsolatedEnvironment, Placement, TextSettings, predict_texts

Tiny = Callable[[str], Path]
FILES = ("settings.json", "predictions.jsonl")
# The keys of settings.json, whatever the fields of TextSettings are called.
KEYS = [
    *("task", "model", "runner", "revision", "weights", "prompts", "frames", "pick", "max_new_tokens", "temperature"),
    *("seed", "dtype", "attention", "quantisation", "data", "as_images", "image_side", "image_detail", "adapter"),
]


def assert_same_files(one: Path, other: Path) -> None:
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert list(json.loads((one / "settings.json").read_text())) == KEYS


@pytest.mark.parametrize("task", ["caption", "vqa"])
def test_a_model_gives_the_files_of_the_command(tiny: Tiny, tmp_path: Path, task: str) -> None:
    model = str(tiny("llava"))
    words = ["predict", task, "--model", model, "--source", "sample", "--limit", "2", "--frames", "3"]
    words += ["--frame-sampling", "middles", "--max-new-tokens", "8", "--dtype", "float32"]
    assert main([*words, "--out", str(tmp_path / "command")]) == 0
    settings = TextSettings(task, model, frames=3, frame_sampling="middles", max_new_tokens=8, dtype="float32")
    rows = load_dataset(task, split="test", source="sample")
    summary = predict_texts(settings, rows, tmp_path / "python", limit=2)
    assert (summary["done_now"], summary["missing"]) == ({"caption": 2, "vqa": 12}[task], 0)
    assert_same_files(tmp_path / "python", tmp_path / "command")
    assert predict_texts(settings, rows, tmp_path / "python", limit=2)["done_now"] == 0  # resumed
    with pytest.raises(RecipeError, match="other settings"):
        predict_texts(TextSettings(task, model, frames=4), rows, tmp_path / "python", limit=2)


@pytest.mark.parametrize("baseline", ["blind", "majority"])
def test_a_baseline_gives_the_files_of_the_command(tmp_path: Path, baseline: str) -> None:
    out = str(tmp_path / "command")
    assert main(["predict", "vqa", "--model", baseline, "--source", "sample", "--out", out]) == 0
    rows = load_dataset("vqa", split="test", source="sample", videos=False)
    summary = predict_texts(TextSettings("vqa", baseline), rows, tmp_path / "python")
    assert summary["finished"] == len(rows) and summary["failed"] == 0
    assert_same_files(tmp_path / "python", tmp_path / "command")


def test_options_of_another_runner_are_refused(tmp_path: Path) -> None:
    for settings, options in (
        (TextSettings("vqa", "blind"), {"placement": Placement()}),
        (TextSettings("vqa", "m", "api"), {"environment": IsolatedEnvironment("python")}),
        (TextSettings("vqa", "m"), {"endpoint": Endpoint("http://localhost/v1", "")}),
    ):
        with pytest.raises(RecipeError, match="is an option of the runner"):
            predict_texts(settings, [], tmp_path, **options)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="give it with --python"):
        predict_texts(TextSettings("vqa", "m", "isolated"), [], tmp_path)
    with pytest.raises(RecipeError, match="runner is 'remote'"):
        TextSettings("vqa", "m", "remote")


def test_the_package_lists_its_public_names() -> None:
    assert {"Endpoint", "HarPipeline", "IsolatedEnvironment", "Placement", "TextSettings", "predict_texts"} <= set(
        dir(inference)
    )
    assert inference.HarPipeline.__name__ == "HarPipeline"


def test_old_spellings_of_options_work_and_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    predict_text.configure(parser)
    new = ["--frame-sampling", "every", "--quantization", "4bit", "--max-retries", "2", "--retry-timeout", "9"]
    old = ["--pick", "every", "--quantise", "4bit", "--tries", "3", "--patience", "9"]  # 3 tries are 2 retries
    assert parser.parse_args(["--model", "m", *new]) == parser.parse_args(["--model", "m", *old])
    with pytest.raises(SystemExit):
        parser.parse_args(["--model", "m", "--tries", "x"])
    assert "argument --tries: invalid int value: 'x'" in capsys.readouterr().err
    help_text = parser.format_help()
    assert all(option in help_text for option in new[::2]) and not any(option in help_text for option in old[::2])
