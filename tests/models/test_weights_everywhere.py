"""All published weights by name from a Hub and a file server, and files that are wrong, each told in one line."""

from __future__ import annotations

import os
import pickle
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from microg4m_hf.cli.main import main
from microg4m_hf.models import weights
from microg4m_hf.models.registry import PUBLISHED
from microg4m_hf.models.weights import MODELS_REPO, WEIGHTS
from tests.support import small_weights
from tests.support.file_server import FileServer
from tests.support.hub_server import HubServer
from tests.support.warm_python import warm_python

X3D = small_weights.LAYOUT["x3d_s"]
_FETCH = "from microg4m_hf.models import weights; print(weights.fetch_released('x3d_s').sha256)"


class Hostile:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.fixture
def zoo(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    small_weights.shrink_published(monkeypatch)
    for key, value in hub.environment(token=None).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    with FileServer(small_weights.zoo_files()) as server:
        monkeypatch.setenv("MICROG4M_ZOO", server.url)
        yield server


def test_every_name_resolves_or_says_why_not(
    zoo: FileServer, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.put("model", MODELS_REPO, small_weights.released_files())
    for name in PUBLISHED:
        state, expected = weights.released_state(name), small_weights.small_state(name)
        assert all(torch.equal(value, state[key]) for key, value in expected.items() if "tracked" not in key)
        if WEIGHTS[name].pretrained is None:
            assert main(["weights", "fetch", name, "--pretrained"]) == 2
            assert WEIGHTS[name].reason in capsys.readouterr().err
        else:
            classes = len(weights.pretrained_state(name)["head.projection.bias"])
            assert classes == (80 if name.endswith("_ava") else 400)
    assert main(["weights", "list"]) == 0
    assert "to fetch" not in capsys.readouterr().out.partition("\n")[2].rpartition("\n\n")[0]
    assert main(["weights", "verify"]) == 0


def test_downloads_from_the_hub_that_are_cut_go_on(zoo: FileServer, hub: HubServer) -> None:
    content = small_weights.pyth(small_weights.small_state("x3d_s"))
    hub.put("model", MODELS_REPO, {X3D: content})
    hub.fail("GET", "/resolve/", cut=True)
    assert weights.fetch_released("x3d_s").path.read_bytes() == content
    assert [fault.times for fault in hub.faults] == [0]


def test_four_processes_download_from_the_hub_once(zoo: FileServer, hub: HubServer, tmp_path: Path) -> None:
    hub.put("model", MODELS_REPO, {X3D: small_weights.pyth(small_weights.small_state("x3d_s"))})
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf")}
    words = [warm_python(), "-c", _FETCH]
    children = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(4)]
    assert len({child.communicate()[0] for child in children}) == 1
    assert [child.returncode for child in children] == [0] * 4
    assert len([one for one in hub.requested("/resolve/") if one.status == 200]) == 1


def _hostile_torch(path: Path, folder: Path) -> bytes:
    """A file as torch writes it, whose pickle is hostile."""
    torch.save({"model_state": {}}, folder / "plain.pyth")
    with zipfile.ZipFile(folder / "plain.pyth") as old, zipfile.ZipFile(folder / "new.pyth", "w") as new:
        for name in old.namelist():
            data = pickle.dumps({"model_state": Hostile(path)}, 2) if name.endswith("data.pkl") else old.read(name)
            new.writestr(name, data)
    return (folder / "new.pyth").read_bytes()


def test_weights_that_are_wrong_are_one_line(
    zoo: FileServer,
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    touched = tmp_path / "touched"
    whole = small_weights.small_state("x3d_s")
    half = dict(list(whole.items())[: len(whole) // 2]) | {"head.projection.weight": whole["head.projection.weight"]}
    wrong = {
        "of another class count": (small_weights.pyth(small_weights.small_state("x3d_s", 7)), "has 7 classes"),
        "half of the keys": (small_weights.pyth(half), "does not fit x3d_s"),
        "a hostile pickle in a file of torch": (_hostile_torch(touched, tmp_path), "x3d_s"),
        "a web page": (b"<!doctype html><title>Sign in</title>", "X3D_S.pyth"),
        "cut": (small_weights.pyth(whole)[:5000], "X3D_S.pyth"),
        "empty": (b"", "X3D_S.pyth"),
    }
    words = ["predict", "har", "--model", "released:x3d_s", "--source", "sample", "--workers", "0", "--limit", "1"]
    for what, (content, reason) in wrong.items():
        hub.put("model", MODELS_REPO, {X3D: content})
        assert main([*words, "--out", str(tmp_path / what)]) == 2, what
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("microg4m: ") and reason.lower() in line.lower(), line
    hub.put("model", MODELS_REPO, {"SLOWONLY_8x8_R50.pkl": pickle.dumps({"blobs": Hostile(touched)}, 2)})
    assert main(["models", "push-released", "me", "--only", "slow_8x8_r50", "--dry-run"]) == 2
    assert "not pushed: " in capsys.readouterr().err
    assert not touched.exists()

    monkeypatch.setattr("microg4m_hf.models.download.SPARE_DISK_BYTES", 1 << 60)
    assert main(["weights", "fetch", "x3d_s", "--pretrained"]) == 2
    assert "MB are free; free some space or set MICROG4M_HOME" in capsys.readouterr().err
    zoo.faults[str(WEIGHTS["x3d_l"].pretrained)] = ["status:404"]
    assert main(["weights", "fetch", "x3d_l", "--pretrained"]) == 2
    assert "replied 404" in capsys.readouterr().err


def test_a_repository_that_is_not_there_is_one_line(zoo: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "x3d_s"]) == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line and "no such repository" in line and "MICROG4M_WEIGHTS" in line
