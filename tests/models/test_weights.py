"""Weights by name: the rule that finds a file, downloads that are cut, changed or wrong, folders without network."""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import socketserver
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from microg4m_hf import models
from microg4m_hf.cli.main import main
from microg4m_hf.data import ensure_sample
from microg4m_hf.errors import CheckpointError, ModelError
from microg4m_hf.models import weights
from microg4m_hf.models.weights import MODELS_REPO, WEIGHTS, NamedWeights, find_released
from microg4m_hf.training.build import build_model
from microg4m_hf.training.recipe import Data, Model
from tests.models.test_pyslowfast import _blob
from tests.support.file_server import FileServer
from tests.support.hub_server import HubServer
from tests.support.warm_python import warm_python

ZOO_FILE = "model_zoo/kinetics400/TINY_SLOW.pkl"
RELEASED = "TINY-Slow/checkpoint_epoch_00003.pyth"
HEAD = "head.projection.weight"


@pytest.fixture(scope="session")
def sample(own_home: Path) -> Path:
    """The sample that all tests of a run share, from before ``tiny_weights`` changes the home."""
    return ensure_sample()


@pytest.fixture(autouse=True)
def tiny_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny = NamedWeights(("TINY_SLOW",), (3, 5), ZOO_FILE)
    monkeypatch.setitem(WEIGHTS, "tiny_slow", tiny)
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("MICROG4M_ZOO", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def state(classes: int = 50, seed: int = 0) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.export_pyslowfast(models.create("tiny_slow", num_labels=classes))


def pyth(classes: int = 50, seed: int = 0) -> bytes:
    """A checkpoint as PySlowFast writes it, with the state of an optimizer."""
    content = io.BytesIO()
    values = state(classes, seed)
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(100_000)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({"epoch": 2, "model_state": values, "optimizer_state": optimizer, "cfg": "TRAIN: {}"}, content)
    return content.getvalue()


def caffe2(classes: int = 400) -> bytes:
    blobs: dict[str, Any] = {"lr": 0.1}
    for key, value in state(classes).items():
        if not key.endswith("num_batches_tracked"):
            blobs[_blob(key)] = value.numpy()
    return pickle.dumps({"blobs": blobs}, protocol=2)


LISTING = [
    *("README.md", "C2D_8x8_R50/checkpoint_epoch_00035.pyth", "C2D_8x8_R50_NLN/checkpoint_epoch_00030.pyth"),
    *("I3D_8x8_R50_best.pyth", "i3d-nln-8x8-r50.epoch40.pyth", "I3D_NLN_8x8_R50/log.txt"),
    *("SLOWONLY_4x16_R50/epoch_20.pyth", "SLOWONLY_4x16_R50/epoch_25.pyth", "SLOWONLY_4x16_R50/best.pyth"),
    *("SLOWONLY_8x8_R50.pkl", "slowfast/SLOWFAST_4x16_R50.pt", "slowfast/SLOWFAST_8x8_R50_20.pyth"),
    *("MViT/MVIT_B_16x4/ckpt.pyth", "MViT/MVITv2_S_16x4/ckpt_epoch_25.pyth", "MViT/MVITv2_S_16x4/epoch_40/a.pyth"),
    *("x3d/X3D_S.pyth", "x3d/X3D_L-best.pyth", "x3d/X3D_L.yaml"),
]


def test_every_published_name_has_its_file() -> None:
    found = {name: find_released(name, LISTING) for name, one in WEIGHTS.items() if one.released and "tiny" not in name}
    assert found == {
        "c2d_8x8_r50": "C2D_8x8_R50/checkpoint_epoch_00035.pyth",
        "c2d_nln_8x8_r50": "C2D_8x8_R50_NLN/checkpoint_epoch_00030.pyth",
        "i3d_8x8_r50": "I3D_8x8_R50_best.pyth",
        "i3d_nln_8x8_r50": "i3d-nln-8x8-r50.epoch40.pyth",
        "slow_4x16_r50": "SLOWONLY_4x16_R50/epoch_25.pyth",
        "slow_8x8_r50": "SLOWONLY_8x8_R50.pkl",
        "slowfast_4x16_r50": "slowfast/SLOWFAST_4x16_R50.pt",
        "slowfast_8x8_r50": "slowfast/SLOWFAST_8x8_R50_20.pyth",
        "mvitv1_b_16x4": "MViT/MVIT_B_16x4/ckpt.pyth",
        "mvitv2_s_16x4": "MViT/MVITv2_S_16x4/epoch_40/a.pyth",
        "x3d_s": "x3d/X3D_S.pyth",
        "x3d_l": "x3d/X3D_L-best.pyth",
    }
    assert set(models.PUBLISHED) == set(WEIGHTS) - {"tiny_slow"}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["a.pyth", "C2D_8x8_R50_NLN/a.pyth", "I3D_8x8_R50_extra.pyth"], "no file of i3d_8x8_r50"),
        ([], "no file of i3d_8x8_r50 .no checkpoint at all"),
        (["a/I3D_8x8_R50.pyth", "b/I3D_8x8_R50.pyth"], r"2 files of i3d_8x8_r50 .a/I3D_8x8_R50.pyth"),
        (["I3D_8x8_R50/epoch_10.pyth", "I3D_8x8_R50/epoch_20.pyth"], "2 files of i3d_8x8_r50"),
        (["I3D_8x8_R50/epoch_30.pyth", "I3D_8x8_R50/x/epoch_30.pyth"], "2 files of i3d_8x8_r50"),
    ],
)
def test_none_or_several_files_are_an_error_that_lists_them(files: list[str], reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason) as caught:
        find_released("i3d_8x8_r50", files)
    assert "choose one with file=" in str(caught.value)


def test_names_without_weights_are_refused() -> None:
    with pytest.raises(ModelError, match="tiny_x3d has no weights to download"):
        models.load_released("tiny_x3d")
    with pytest.raises(ModelError, match="released no weights of x3d_s_corrected; use x3d_s,"):
        models.load_released("x3d_s_corrected")
    with pytest.raises(ModelError, match="nonsense is not a model"):
        models.load_pretrained("nonsense")
    with pytest.raises(CheckpointError, match=r"pytorchvideo's names from Google Drive; set model\.init to a file"):
        models.load_pretrained("mvitv1_b_16x4")


def test_the_released_model_comes_from_the_hub_once(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    other = "TINY-Slow/checkpoint_epoch_00004.pyth"
    first = hub.put("model", MODELS_REPO, {RELEASED: pyth(), other: pyth(seed=1)})
    model = models.load_released("tiny_slow")
    exported = models.export_pyslowfast(model)
    assert not model.training and all(torch.equal(value, exported[key]) for key, value in state().items())
    hub.put("model", MODELS_REPO, {RELEASED: pyth(seed=2)})
    pinned, newest = models.load_released("tiny_slow", revision=first), models.load_released("tiny_slow")
    assert torch.equal(pinned.head.projection.weight, model.head.projection.weight)
    assert torch.equal(newest.head.projection.weight, state(seed=2)[HEAD])
    assert torch.equal(models.load_released("tiny_slow", file=other).head.projection.weight, state(seed=1)[HEAD])
    assert len([one for one in hub.requested("/resolve/") if one.status == 200]) == 3
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert torch.equal(models.load_released("tiny_slow").head.projection.weight, state(seed=2)[HEAD])  # from the cache
    with pytest.raises(CheckpointError, match=r"has no file 'other\.pyth'; it has .*TINY-Slow/"):
        models.load_released("tiny_slow", file="other.pyth")


def test_a_released_file_that_changes_or_does_not_fit_is_refused(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    half = io.BytesIO()
    torch.save({"model_state": {key: value for key, value in state().items() if "s4" not in key}}, half)
    for content, reason in (
        (pyth(classes=400), "has 400 classes and tiny_slow has 50"),
        (half.getvalue(), "does not fit tiny_slow: .* missing"),
        (b"<html>not found</html>", "not a Caffe2 checkpoint"),
    ):
        hub.put("model", MODELS_REPO, {RELEASED: content})
        with pytest.raises(CheckpointError, match=reason):
            models.load_released("tiny_slow")
    hub.put("model", MODELS_REPO, {RELEASED: pyth()})
    weights.fetch_released("tiny_slow").path.write_bytes(pyth(seed=7))
    with pytest.raises(CheckpointError, match=r"has the SHA-256 .*at the first download.*; remove the file") as caught:
        models.load_released("tiny_slow")
    assert main(["weights", "verify"]) == 1 and "changed: " in capsys.readouterr().out
    named = re.match("(.+) has the SHA-256", str(caught.value))
    assert named
    Path(named[1]).unlink()
    assert torch.equal(models.load_released("tiny_slow").head.projection.weight, state()[HEAD])
    assert main(["weights", "verify"]) == 0


def test_without_network_the_message_names_file_and_folder() -> None:
    with pytest.raises(CheckpointError, match=f"a file of {MODELS_REPO} into a folder and set MICROG4M_WEIGHTS") as hub:
        models.load_released("tiny_slow")
    with pytest.raises(CheckpointError, match=r"put TINY_SLOW\.pkl into a folder and set MICROG4M_WEIGHTS") as zoo:
        models.load_pretrained("tiny_slow")
    assert f"http://127.0.0.1:9/{ZOO_FILE}" in str(zoo.value)
    assert "\n" not in str(hub.value) + str(zoo.value)


def test_a_folder_serves_machines_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    (folder / "TINY-Slow").mkdir(parents=True)
    (folder / RELEASED).write_bytes(pyth(seed=3))
    (folder / "TINY_SLOW.pkl").write_bytes(caffe2())
    monkeypatch.setenv("MICROG4M_WEIGHTS", str(folder))
    assert torch.equal(models.load_released("tiny_slow").head.projection.weight, state(seed=3)[HEAD])
    with pytest.warns(UserWarning, match="dropped: head"):
        assert models.load_pretrained("tiny_slow").config.num_labels == 50
    assert main(["weights", "where", "tiny_slow"]) == main(["weights", "where", "tiny_slow", "--pretrained"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(folder / RELEASED), str(folder / "TINY_SLOW.pkl")]
    monkeypatch.setenv("MICROG4M_WEIGHTS", str(tmp_path / "absent"))
    with pytest.raises(CheckpointError, match=r"MICROG4M_WEIGHTS is .*which is not a folder"):
        models.load_released("tiny_slow")


def test_two_zoo_files_of_one_base_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "weights"
    for classes, place in ((400, "."), (80, "sub")):
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / "C2D_8x8_R50.pkl").write_bytes(caffe2(classes))
    monkeypatch.setenv("MICROG4M_WEIGHTS", str(folder))
    assert weights.fetch_pretrained("c2d_8x8_r50").path == folder / "C2D_8x8_R50.pkl"
    assert weights.fetch_pretrained("slow_8x8_r50_ava").path == folder / "sub" / "C2D_8x8_R50.pkl"


def test_an_interrupted_download_is_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    content = caffe2()
    third = len(content) // 3
    with FileServer({ZOO_FILE: content}) as server:
        monkeypatch.setenv("MICROG4M_ZOO", server.url)
        server.faults[ZOO_FILE] = [f"cut:{third}", "status:503", f"cut:{third}"]
        for reason in (f"ended after {third} of", "replied 503", f"ended after {2 * third} of"):
            with pytest.raises(CheckpointError, match=reason):
                weights.fetch_pretrained("tiny_slow")
        file = weights.fetch_pretrained("tiny_slow")
        assert file.path.read_bytes() == content and server.sent < len(content) + 100
        assert [asked for _, asked in server.requests][2:] == [f"bytes={third}-", f"bytes={2 * third}-"]
        weights.fetch_pretrained("tiny_slow")
        assert len(server.requests) == 4
    assert sorted(path.name for path in file.path.parent.iterdir() if path.suffix != ".lock") == ["TINY_SLOW.pkl"]


def test_a_file_that_changes_in_between_is_downloaded_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = caffe2(400), caffe2(401)
    with FileServer({ZOO_FILE: old}) as server:
        monkeypatch.setenv("MICROG4M_ZOO", server.url)
        server.faults[ZOO_FILE] = [f"cut:{len(old) // 2}"]
        with pytest.raises(CheckpointError):
            weights.fetch_pretrained("tiny_slow")
        server.files[ZOO_FILE] = new
        file = weights.fetch_pretrained("tiny_slow")
        assert file.path.read_bytes() == new
        file.path.unlink()
        server.files[ZOO_FILE] = old
        with pytest.raises(CheckpointError, match="has the SHA-256"):
            weights.fetch_pretrained("tiny_slow")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("html", "web page instead of a checkpoint"),
        ("status:404", r"replied 404; put TINY_SLOW\.pkl"),
        ("endless", "sends more than"),
        ("redirect:file:///etc/passwd", "cannot be downloaded"),
        ("drip", "only [0-9]+ bytes came in"),
    ],
)
def test_a_wrong_answer_is_one_line_and_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, fault: str, reason: str
) -> None:
    monkeypatch.setattr("microg4m_hf.models.download.MAX_BYTES", len(caffe2()) + 100)
    with FileServer({ZOO_FILE: caffe2()}) as server:
        monkeypatch.setenv("MICROG4M_ZOO", server.url)
        server.faults[ZOO_FILE] = [fault]
        with monkeypatch.context() as patch, pytest.raises(CheckpointError, match=reason) as caught:
            if fault == "drip":
                patch.setattr("microg4m_hf.models.download.SLOWEST", (1e6, 0.1))
            weights.fetch_pretrained("tiny_slow")
        assert "\n" not in str(caught.value)
        assert weights.local_file("tiny_slow", pretrained=True) is None
        assert weights.fetch_pretrained("tiny_slow").path.read_bytes() == caffe2()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nff\r\nhel",  # and then the end
    ],
    ids=["no HTTP", "cut in a chunk"],
)
def test_an_answer_that_breaks_the_rules_of_http_is_one_line(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("MICROG4M_ZOO", f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(CheckpointError, match=r"cannot be downloaded \(.+\); run the same command again") as caught:
            weights.fetch_pretrained("tiny_slow")
    assert "\n" not in str(caught.value)


# The limit on the size of a file acts like a disk that is full; it must not cut the bytecode of modules.
_FETCH_ON_A_FULL_DISK = """
import resource, sys
sys.dont_write_bytecode = True
from microg4m_hf.cli.main import main
from microg4m_hf.models import weights
weights.WEIGHTS["tiny_slow"] = weights.NamedWeights(("TINY_SLOW",), (3,), "model_zoo/kinetics400/TINY_SLOW.pkl")
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
sys.exit(main(["weights", "fetch", "tiny_slow", "--pretrained"]))
"""


def test_a_full_disk_is_no_error_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with FileServer({ZOO_FILE: caffe2()}) as server:
        monkeypatch.setenv("MICROG4M_ZOO", server.url)
        words = [warm_python(), "-c", _FETCH_ON_A_FULL_DISK]
        ran = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
        assert ran.returncode == 2
        assert "Y_SLOW.pkl.part: File too large; raise the limit of `ulimit -f`" in ran.stderr
        assert weights.fetch_pretrained("tiny_slow").path.read_bytes() == caffe2()


def test_addresses_that_are_not_encrypted_or_lead_elsewhere_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROG4M_ZOO", "http://models.example")
    with pytest.raises(CheckpointError, match="not an https address"):
        weights.fetch_pretrained("tiny_slow")
    for path in ("../../etc/passwd", "a//b.pkl", "/etc/passwd", "a/..", "c:b.pkl"):
        with pytest.raises(CheckpointError, match="is not a path under"):
            weights.fetch_zoo(path)


_FETCH = """
from microg4m_hf.models import weights
weights.WEIGHTS["tiny_slow"] = weights.NamedWeights(("TINY_SLOW",), (3,), "model_zoo/kinetics400/TINY_SLOW.pkl")
print(weights.fetch_pretrained("tiny_slow").sha256)
"""


def test_four_processes_download_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with FileServer({ZOO_FILE: caffe2()}) as server:
        server.seconds = 0.5
        monkeypatch.setenv("MICROG4M_ZOO", server.url)
        words = [warm_python(), "-c", _FETCH]
        children = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(4)]
        printed = {child.communicate()[0] for child in children}
        assert [child.returncode for child in children] == [0] * 4
        assert len(printed) == 1 and len(server.requests) == 1


def test_recipes_begin_from_weights_by_name(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    hub.put("model", MODELS_REPO, {RELEASED: pyth(seed=5)})
    stem = "s1.pathway0_stem.conv.weight"
    with FileServer({ZOO_FILE: caffe2(), "other/T.pkl": caffe2()}) as server:
        monkeypatch.setenv("MICROG4M_ZOO", server.url)
        for init in ("kinetics", "zoo:other/T.pkl"):
            with pytest.warns(UserWarning, match="dropped: head"):
                model = build_model(Model("tiny_slow", init=init), Data(num_frames=4, stride=8), seed=0)
            assert torch.equal(model.state_dict()[f"backbone.network.{stem}"], state(400)[stem])
    model = build_model(Model("tiny_slow", init="released:tiny_slow"), Data(num_frames=4, stride=8), seed=0)
    assert torch.equal(model.state_dict()[HEAD], state(seed=5)[HEAD])


def test_commands(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, sample: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    hub.put("model", MODELS_REPO, {RELEASED: pyth()})
    assert main(["weights", "where", "tiny_slow"]) == 2
    assert "run microg4m weights fetch tiny_slow" in capsys.readouterr().err
    assert main(["weights", "fetch", "tiny_slow"]) == 0
    assert f"{RELEASED} of {MODELS_REPO}" in capsys.readouterr().out
    assert main(["weights", "list"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("tiny_slow"))
    assert line.split()[1:3] == ["here", "to"]
    assert main(["weights", "verify"]) == 0 and "ok: " in capsys.readouterr().out
    shutil.copytree(sample, tmp_path / "home" / sample.name, copy_function=os.link)
    words = ["predict", "har", "--model", "released:tiny_slow", "--source", "sample", "--out", str(tmp_path / "run")]
    words += ["--limit", "2"]
    assert main(words) == 0 and (tmp_path / "run" / "predictions" / "test.parquet").is_file()


def test_several_files_of_a_model_do_not_end_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    for name in ("a/TINY_SLOW.pyth", "b/TINY_SLOW.pyth", "a/TINY_SLOW.pkl", "b/TINY_SLOW.pkl", "X3D_S.pyth"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    monkeypatch.setenv("MICROG4M_WEIGHTS", str(folder))
    assert main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: re.split("  +", line)[1:3] for line in lines if line.startswith(("tiny_slow", "x3d_s"))}
    assert rows == {"tiny_slow": ["several files", "several files"], "x3d_s": ["here", "to fetch"]}
    assert lines[-1] == "several files: microg4m weights where NAME names them."

    assert main(["weights", "where", "tiny_slow"]) == 2
    assert capsys.readouterr().err.endswith("(a/TINY_SLOW.pyth, b/TINY_SLOW.pyth); choose one with --file\n")
    assert main(["weights", "where", "tiny_slow", "--file", "b/TINY_SLOW.pyth"]) == 0
    assert capsys.readouterr().out == f"{folder / 'b/TINY_SLOW.pyth'}\n"
    assert main(["weights", "where", "tiny_slow", "--pretrained"]) == 2
    assert capsys.readouterr().err.endswith("b/TINY_SLOW.pkl); keep one of them\n")


def test_where_names_the_file_that_is_loaded(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    other = "TINY-Slow/checkpoint_epoch_00001.pyth"  # not a tested epoch, and the first in the listing
    first = hub.put("model", MODELS_REPO, {other: pyth(seed=1), RELEASED: pyth()})
    untested = weights.fetch_released("tiny_slow", file=other).path
    assert main(["weights", "where", "tiny_slow"]) == 2
    assert "run microg4m weights fetch tiny_slow" in capsys.readouterr().err
    assert main(["weights", "where", "tiny_slow", "--file", other]) == 0
    assert capsys.readouterr().out == f"{untested}\n"
    pinned = weights.fetch_released("tiny_slow", revision=first).path
    hub.put("model", MODELS_REPO, {RELEASED: pyth(seed=2)})
    newest = weights.fetch_released("tiny_slow").path
    assert newest != pinned
    assert main(["weights", "where", "tiny_slow"]) == 0
    assert capsys.readouterr().out == f"{newest}\n"
