"""After many kills, every item is recorded exactly once, and the file is that of an uninterrupted run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.warm_python import warm_python

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_twenty_kills_of_one_and_two_processes(tmp_path: Path) -> None:
    command = [warm_python(), "-m", "tests.support.tiny_vlm_kills", str(tmp_path), "20", "0"]
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["killed"] >= 20
    assert len(set(report["progress"])) > 10, "too many kills between the same two items"
    assert report["completed"]
    uninterrupted = (tmp_path / "uninterrupted" / "predictions.jsonl").read_bytes()
    ids = [json.loads(line)["question_id"] for line in uninterrupted.splitlines()]
    assert ids == report["items"] and len(set(ids)) == 180
    assert (tmp_path / "killed" / "predictions.jsonl").read_bytes() == uninterrupted
    assert (tmp_path / "pair" / "predictions.jsonl").read_bytes() == uninterrupted  # two processes, as one
