"""The authors' models pushed as models of transformers: all fourteen, from a fresh process, continued, and refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from microg4m_hf import models
from microg4m_hf.cli.main import main
from microg4m_hf.errors import HubError
from microg4m_hf.models.registry import PUBLISHED
from microg4m_hf.models.weights import MODELS_REPO, WEIGHTS
from tests.support import small_weights
from tests.support.file_server import FileServer
from tests.support.hub_server import HubServer
from tests.support.warm_python import warm_python

CARD = b"---\nlicense: cc-by-4.0\n---\n# Models\n"
LOAD = """
import json, sys, torch
from microg4m_hf.models import MicroG4MHarForVideoClassification, export_pyslowfast
from transformers import AutoProcessor
for name in sys.argv[1:]:
    model = MicroG4MHarForVideoClassification.from_pretrained(f"org/{name}-microg4m")
    AutoProcessor.from_pretrained(f"org/{name}-microg4m")
    torch.save(export_pyslowfast(model), name)
"""


@pytest.fixture
def release(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    """The authors' repository and the zoo, with small networks."""
    small_weights.shrink_published(monkeypatch)
    for key, value in hub.environment().items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    hub.put("model", MODELS_REPO, small_weights.released_files() | {"README.md": CARD})
    with FileServer(small_weights.zoo_files()) as zoo:
        monkeypatch.setenv("MICROG4M_ZOO", zoo.url)
        yield zoo


@pytest.mark.slow
def test_all_fourteen_are_pushed_and_loaded_in_a_fresh_process(
    release: FileServer, hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "push-released", "org"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "14 of 14 models are at org" and len(lines) == 15
    environment = {**os.environ, **hub.environment(token=None), "HF_HOME": str(tmp_path / "hf")}
    subprocess.run([warm_python(), "-c", LOAD, *PUBLISHED], check=True, env=environment, cwd=tmp_path)
    for name, variant in PUBLISHED.items():
        loaded = torch.load(tmp_path / name, weights_only=True)
        expected = small_weights.small_state(name)
        assert loaded.keys() == expected.keys() and all(torch.equal(loaded[key], expected[key]) for key in loaded)
        repo = hub.repo("model", f"org/{name}-microg4m")
        card = repo.read("README.md").decode()
        front = yaml.safe_load(card.split("---")[1])
        assert front["license"] == ("cc-by-4.0" if WEIGHTS[name].released else "apache-2.0")
        values = [metric["value"] for metric in front["model-index"][0]["results"][0]["metrics"]]
        assert values == list(variant.published or ())
        (entry,) = yaml.safe_load(repo.read(".eval_results/microg4m.yaml"))
        assert (entry["dataset"]["task_id"], entry["value"]) == ("har-map50", values[0])
        assert entry["source"]["url"].startswith("https://openreview.net/")
        assert "published by the authors" in entry["notes"]
        assert "| macro AUROC |" in card and variant.note in card and f"reproduce har {name}`" in card
        origin = small_weights.LAYOUT.get(name) or f"{WEIGHTS[name].pretrained}"
        assert f"{origin}`" in card and str(tmp_path) not in card
        content = small_weights.released_files().get(origin) or small_weights.zoo_files()[origin]
        assert hashlib.sha256(content).hexdigest() in card


def test_what_cannot_be_had_is_said_and_the_same_command_continues(
    release: FileServer, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["x3d_l", "x3d_s", "slow_8x8_r50", "slow_8x8_r50_ava"]
    words = ["models", "push-released", "org", "--private", *(word for name in names for word in ("--only", name))]
    hub.put("model", MODELS_REPO, {"x3d/X3D_S/again.pyth": b"a second file"})
    release.faults[f"{WEIGHTS['slow_8x8_r50_ava'].pretrained}"] = ["status:404"]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "2 of 4 models are at org"
    (two, lost) = (line for line in err.splitlines() if "not pushed" in line)
    assert two.startswith("x3d_s: not pushed: ") and "2 files of x3d_s" in two
    assert lost.startswith("slow_8x8_r50_ava: not pushed: ") and "replied 404" in lost
    assert hub.repo("model", "org/x3d_l-microg4m").private

    commits = len(hub.requested("/commit/", "POST"))
    assert main([*words, "--file", "x3d_s=x3d/X3D_S.pyth"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1][:10] for line in lines[:4]] == ["is already", "pushed to ", "is already", "pushed to "]
    assert len(hub.requested("/commit/", "POST")) == commits + 2


def test_a_dry_run_and_an_interrupted_push(
    release: FileServer, hub: HubServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["models", "push-released", "org", "--only", "x3d_s", "--only", "x3d_l"]
    assert main([*words, "--dry-run"]) == 0
    assert "2 of 2 models are ready" in capsys.readouterr().out
    assert not hub.requested("", "POST") and ("model", "org/x3d_s-microg4m") not in hub.store.repos
    hub.fail("POST", "x3d_l-microg4m/commit", status=403)
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out.startswith("x3d_s: pushed to") and "cannot push to org/x3d_l-microg4m: " in err
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("x3d_s: is already in org/x3d_s-microg4m")
    assert not list((tmp_path / "home").rglob("*.part"))


def test_a_repository_with_something_else_is_left_alone(release: FileServer, hub: HubServer) -> None:
    hub.put("model", "org/x3d_s-microg4m", {"config.json": json.dumps({"model_type": "bert"}).encode()})
    with pytest.raises(HubError, match="org/x3d_s-microg4m holds something else; nothing was changed"):
        models.push_released("org", ["x3d_s"])
    assert "README.md" not in hub.repo("model", "org/x3d_s-microg4m").tree()


def test_a_folder_of_weights_is_named_without_its_path(
    release: FileServer, hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    (folder / "x3d").mkdir(parents=True)
    (folder / small_weights.LAYOUT["x3d_s"]).write_bytes(small_weights.released_files()["x3d/X3D_S.pyth"])
    monkeypatch.setenv("MICROG4M_WEIGHTS", str(folder))
    hub.put("model", MODELS_REPO, {"README.md": b"# no license\n"})
    (one,) = models.push_released("org", ["x3d_s"])
    assert one.state == "pushed" and one.size > 0
    card = hub.repo("model", one.repo_id).read("README.md").decode()
    assert "`X3D_S.pyth`, a copy of a file of" in card and "states no license" in card and str(folder) not in card
    assert "license:" not in card.split("---")[1]
