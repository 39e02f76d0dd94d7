"""The exported tasks run by ``inspect_ai`` itself, in an environment of its own, give the digits of this library."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data import load_dataset
from microg4m_hf.metrics import caption_scores, vqa_scores
from tests.support.dataset_versions import DOWNLOAD_ERRORS, PROJECT, ensure_python, lower_bounds

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return ensure_python("inspect", ["inspect_ai==0.3.285", *lower_bounds()])
    except subprocess.CalledProcessError as error:
        if any(sign in error.stderr for sign in DOWNLOAD_ERRORS):
            pytest.skip(f"inspect_ai cannot be downloaded: {error.stderr[:300]}")
        raise


def test_logged_scores_are_those_of_the_library(python: Path, tmp_path: Path) -> None:
    assert main(["report", "--export-inspect", str(tmp_path), "sample"]) == 0
    jobs = [
        {"task": "microg4m_vqa", "limit": 18, "epochs": 1, "arguments": {}},
        {"task": "microg4m_caption", "limit": 5, "epochs": 2, "arguments": {"prompts": "expert"}},
        {"task": "microg4m_vqa", "limit": 3, "epochs": 1, "arguments": {"frames": 2, "prompts": "plain"}},
    ]
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    command = [str(python), str(PROJECT / "tests/support/inspect_run.py"), "microg4m_tasks.py", "jobs.json"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src"), "INSPECT_LOG_DIR": str(tmp_path / "logs")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    answers, captions, images = json.loads(done.stdout.splitlines()[-1])
    assert [found["status"] for found in (answers, captions, images)] == ["success"] * 3, done.stdout[-3000:]

    assert answers["metrics"] == pytest.approx(scores_of(answers["samples"], "vqa"), abs=1e-9)
    assert answers["metrics"]["cider"] > 0 and len(answers["samples"]) == 18
    assert answers["shown"] == [["video", "text"]] * 18
    epochs = [[sample for sample in captions["samples"] if sample["epoch"] == number] for number in (1, 2)]
    each = [scores_of(samples, "caption") for samples in epochs]
    assert each[0] != each[1]
    mean = {name: (each[0][name] + each[1][name]) / 2 for name in each[0]}
    assert captions["metrics"] == pytest.approx(mean, abs=1e-9)
    assert images["shown"] == [["image", "image", "text"]] * 3


def scores_of(samples: list[dict[str, Any]], task: str) -> dict[str, float]:
    """Score the answers of a log with the references of the dataset, as ``microg4m score`` does."""
    keys = ("video_id", "question") if task == "vqa" else ("video_id",)
    predictions = [{**{key: sample[key] for key in keys}, "prediction": sample["answer"]} for sample in samples]
    rows = load_dataset(task, split="test", source="sample", videos=False)  # type: ignore[arg-type]
    score_all = vqa_scores if task == "vqa" else caption_scores
    found = score_all(predictions, rows, missing="drop", on_empty="score", resamples=0)["scores"]
    names = ("cider", "bleu_4", "rouge_l") + (("exact_match",) if task == "vqa" else ())
    return {name: 100 * found[name] for name in names}
