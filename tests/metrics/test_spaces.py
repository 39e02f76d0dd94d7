"""The evaluate modules go to the Hub as Spaces, from any folder, and come back through ``evaluate.load``."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from microg4m_hf.errors import RecipeError
from microg4m_hf.metrics.spaces import metric_folders
from tests.support.hub_server import HubServer
from tests.support.warm_python import warm_python

LOAD = """
import evaluate
metric = evaluate.load("crew/microg4m_har")
box = [[0.1, 0.1, 0.5, 0.9]]
metric.add(prediction={"video_id": "a_001", "frame": 1, "boxes": box, "scores": [[9.0] + [0.0] * 49]},
           reference={"video_id": "a_001", "frame": 1, "boxes": box, "action_ids": [[1]]})
print("map", metric.compute()["map"])
"""


def _run(hub: HubServer, home: Path, *words: str, token: str = "hf_test") -> subprocess.CompletedProcess[str]:
    environment = os.environ | hub.environment(token) | {"HF_HOME": str(home)}
    environment.pop("HF_EVALUATE_OFFLINE", None)
    return subprocess.run(
        [warm_python(), *words], capture_output=True, text=True, env=environment, cwd=home.parent, check=False
    )


def test_push_and_load_back(tmp_path: Path) -> None:
    with HubServer(tmp_path / "hub", tokens={"hf_test": "crew"}) as hub:
        for _ in range(2):  # the second push changes nothing
            pushed = _run(hub, tmp_path / "home", "-m", "microg4m_hf", "metrics", "push", "crew")
            assert pushed.returncode == 0, pushed.stderr
        assert pushed.stdout.split("\n")[:3] == [
            f'pushed: evaluate.load("crew/microg4m_{name}")' for name in ("caption", "har", "vqa")
        ]
        loaded = _run(hub, tmp_path / "fresh", "-c", LOAD)
        assert loaded.stdout.strip().endswith("map 1.0"), loaded.stderr[-2000:]


def test_wrong_token_is_one_line(tmp_path: Path) -> None:
    with HubServer(tmp_path / "hub") as hub:
        refused = _run(hub, tmp_path / "home", "-m", "microg4m_hf", "metrics", "push", "crew", token="hf_wrong")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "hf auth login" in refused.stderr


def test_folders_without_modules(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="holds no metric modules"):
        metric_folders(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").touch()
    with pytest.raises(RecipeError, match=r"has no README\.md, app\.py, example\.json, requirements\.txt"):
        metric_folders(tmp_path)
