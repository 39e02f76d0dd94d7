"""Push a finished run and pull it again. A failed push explains itself and can be repeated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.errors import HubError, RecipeError
from microg4m_hf.training.push import push_run
from tests.support.hub_server import HubServer
from tests.support.train_runs import write_recipe


@pytest.fixture
def at_hub(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    for name, value in hub.environment().items():
        monkeypatch.setenv(name, value)
    return hub


def test_pulled_model_predicts_the_same(finished: Path, at_hub: HubServer, tmp_path: Path) -> None:
    from huggingface_hub import HfApi, ModelCard

    push_run(finished, "me/probe")
    endpoint = at_hub.environment()["HF_ENDPOINT"]
    pulled = HfApi(endpoint).snapshot_download("me/probe", cache_dir=tmp_path / "cache")

    from microg4m_hf.cli.main import main

    assert main(["predict", "har", "--model", pulled, "--source", "sample", "--out", str(tmp_path / "out")]) == 0
    import pyarrow.parquet as pq

    tables = [pq.read_table(run / "predictions" / "test.parquet") for run in (finished, tmp_path / "out")]
    assert np.allclose(*[np.array(table["scores"].to_pylist()) for table in tables], atol=1e-5)
    card = ModelCard.load(Path(pulled) / "README.md")
    scores = json.loads((finished / "results.json").read_text())["test"]["scores"]
    shown = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert shown["map"] == pytest.approx(100 * scores["map"], abs=0.01)
    files = set(at_hub.repo("model", "me/probe").tree())
    assert {"predictions/test.parquet", "results.json", "config_run.yaml", "processor_config.json"} <= files
    assert 'model="me/probe"' in card.content and "(average_precision.svg)" in card.content
    assert "average_precision.svg" in files


def test_wrong_token(finished: Path, at_hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="token is missing or invalid"):
        push_run(finished, "me/probe", token="hf_wrong")
    push_run(finished, "me/probe", token="hf_test")


def test_repository_of_another_user(finished: Path, at_hub: HubServer) -> None:
    with pytest.raises(HubError, match="has no write permission there"):
        push_run(finished, "somebody/probe")


def test_same_call_after_a_lost_connection(finished: Path, at_hub: HubServer, quick_retries: None) -> None:
    at_hub.fail("POST", "/commit/", cut=True, times=9)
    with pytest.raises(HubError, match="run the same command again"):
        push_run(finished, "me/probe")
    before = len(at_hub.requested("", "PUT"))
    at_hub.faults.clear()
    push_run(finished, "me/probe")
    assert "model.safetensors" in at_hub.repo("model", "me/probe").tree()
    assert len(at_hub.requested("", "PUT")) == before  # uploaded files are not sent again


def test_unfinished_run(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="does not contain a finished run"):
        push_run(tmp_path, "me/probe")


def test_push_fails_at_the_end_of_training(
    finished: Path, at_hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from microg4m_hf.cli.main import main

    run = shutil.copytree(finished, tmp_path / "run")
    recipe = write_recipe(tmp_path)
    at_hub.fail("POST", "/commit/", status=403)
    words = ["train", "har", "--config", str(recipe), "--out", str(run), "--push-to-hub", "me/probe"]
    assert main(words) == 2
    assert f"microg4m push {run} me/probe" in capsys.readouterr().err
    assert main(["push", str(run), "me/probe"]) == 0
    assert "results.json" in at_hub.repo("model", "me/probe").tree()
