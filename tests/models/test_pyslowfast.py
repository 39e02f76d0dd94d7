"""PySlowFast checkpoints are loaded and saved unchanged, and no code in a malicious one is run."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from microg4m_hf import models
from microg4m_hf.cli.main import main
from microg4m_hf.errors import CheckpointError
from microg4m_hf.models.checkpoint_reader import pyslowfast_key, read_caffe2, read_checkpoint
from microg4m_hf.models.registry import TINY
from tests.support.warm_python import warm_python

C2_FILES = ("C2D_8x8_R50", "C2D_NLN_8x8_R50", "I3D_8x8_R50", "SLOWFAST_4x16_R50", "SLOWONLY_4x16_R50")


def weights(name: str, **overrides: Any) -> dict[str, torch.Tensor]:
    """Return weights of a tiny model that all differ from their initial values."""
    torch.manual_seed(0)
    state = models.export_pyslowfast(models.create(name, **overrides))
    return {
        k: v if v.dtype == torch.int64 else torch.rand_like(v) + 0.5 if "var" in k else torch.randn_like(v) * 0.2
        for k, v in state.items()
    }


def inputs(name: str) -> dict[str, Any]:
    torch.manual_seed(1)
    variant = TINY[name]
    clip = torch.randn(2, 3, variant.num_frames, 64, 64)
    return {"pixel_values": clip, "boxes": [[[0.1, 0.2, 0.6, 0.9]], [[0.0, 0.0, 1.0, 1.0], [0.3, 0.3, 0.4, 0.5]]]}


@pytest.mark.parametrize("name", TINY)
def test_convert_save_load_and_export_keep_every_bit(name: str, tmp_path: Path) -> None:
    state = weights(name)
    torch.save({"epoch": 3, "model_state": state, "cfg": "TRAIN: {}", "optimizer_state": {}}, tmp_path / "c.pyth")
    model = models.load_pyslowfast(name, tmp_path / "c.pyth")
    with torch.inference_mode():
        logits = model(**inputs(name)).logits
    model.save_pretrained(tmp_path / "saved")
    again = models.MicroG4MHarForVideoClassification.from_pretrained(tmp_path / "saved")
    with torch.inference_mode():
        assert torch.equal(again(**inputs(name)).logits, logits)
    exported = models.export_pyslowfast(again)
    assert exported.keys() == state.keys()
    assert all(torch.equal(exported[k], state[k]) for k in state)
    assert not list((tmp_path / "saved").glob("*.bin")) and (tmp_path / "saved/model.safetensors").is_file()


def test_a_new_process_computes_the_same_bits(tmp_path: Path) -> None:
    model = models.load_pyslowfast("tiny_mvitv2", weights("tiny_mvitv2"))
    model.save_pretrained(tmp_path / "saved")
    torch.save(inputs("tiny_mvitv2"), tmp_path / "inputs.pt")
    code = (
        "import sys, torch, microg4m_hf.models\n"
        "from transformers import AutoModelForVideoClassification\n"
        "folder = sys.argv[1]\n"
        "model = AutoModelForVideoClassification.from_pretrained(folder + '/saved')\n"
        "with torch.inference_mode():\n"
        "    logits = model(**torch.load(folder + '/inputs.pt')).logits\n"
        "torch.save(logits, folder + '/logits.pt')\n"
    )
    subprocess.run([warm_python(), "-c", code, str(tmp_path)], check=True, capture_output=True)
    with torch.inference_mode():
        expected = model(**inputs("tiny_mvitv2")).logits
    assert torch.equal(torch.load(tmp_path / "logits.pt"), expected)


def test_a_head_for_other_classes_is_replaced_with_a_warning(tmp_path: Path) -> None:
    state = weights("tiny_x3d", num_labels=400) | {
        "head.conv_5.weight": torch.zeros(8, 8, 1, 1, 1),
        "head.lin_5.weight": torch.zeros(8, 8, 1, 1, 1),
    }
    with pytest.warns(UserWarning, match=r"2 dropped: head.projection.weight \[400, \d+\] instead of \[50"):
        model = models.load_pyslowfast("tiny_x3d", state)
    assert model.head.projection.weight.shape[0] == 50
    kept = models.load_pyslowfast("tiny_x3d", state, num_labels=400)
    assert torch.equal(kept.head.projection.weight, state["head.projection.weight"])


def test_keys_that_do_not_fit_are_listed() -> None:
    state = weights("tiny_slow")
    del state["s2.pathway0_res0.branch2.a.weight"]
    state["s9.nothing"] = torch.zeros(1)
    state["s1.pathway0_stem.bn.bias"] = torch.zeros(5)
    with pytest.raises(CheckpointError) as caught:
        models.load_pyslowfast("tiny_slow", state)
    report = caught.value.report  # type: ignore[attr-defined]
    assert report.missing == ["s2.pathway0_res0.branch2.a.weight"]
    assert report.unexpected == ["s9.nothing"]
    assert report.mismatched == [("s1.pathway0_stem.bn.bias", (5,), (8,))]
    for part in ("s9.nothing", "branch2.a.weight", "[5] instead of [8]", "partial=True"):
        assert part in str(caught.value)
    with pytest.warns(UserWarning, match="1 missing"):
        model = models.load_pyslowfast("tiny_slow", state, partial=True)
    assert torch.equal(
        models.export_pyslowfast(model)["s1.pathway0_stem.bn.weight"], state["s1.pathway0_stem.bn.weight"]
    )


def test_another_network_is_rejected_even_partially() -> None:
    with pytest.raises(CheckpointError, match="does not fit tiny_mvitv1"):
        models.load_pyslowfast("tiny_mvitv1", {"encoder.x": torch.zeros(1)}, partial=True)


class _Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("kind", ["torch", "legacy torch", "caffe2", "array of objects"])
def test_no_code_in_a_malicious_file_runs(kind: str, tmp_path: Path) -> None:
    trap, path = tmp_path / "trap", tmp_path / "bad.pkl"
    if kind == "caffe2":
        path.write_bytes(pickle.dumps({"blobs": {"conv1_w": _Payload(trap)}}, protocol=2))
    elif kind == "array of objects":
        path.write_bytes(pickle.dumps({"blobs": {"conv1_w": np.array([_Payload(trap)], object)}}, protocol=2))
    else:
        torch.save({"model_state": {"x": _Payload(trap)}}, path, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(CheckpointError, match=r"nothing of it was|give a checkpoint of numbers"):
        models.load_pyslowfast("tiny_slow", path)
    assert not trap.exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 no archive", b"not a pickle", pickle.dumps([1, 2]), b"\x80\x04."]
)
def test_a_damaged_file_is_rejected(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pyth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path)):
        models.load_pyslowfast("tiny_slow", path)


def test_a_missing_file_and_a_wrong_dict_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        models.load_pyslowfast("tiny_slow", tmp_path / "none.pyth")
    with pytest.raises(CheckpointError, match="no state dict"):
        models.load_pyslowfast("tiny_slow", {})
    with pytest.raises(CheckpointError, match="'epoch' is int"):
        models.load_pyslowfast("tiny_slow", {"epoch": 3})


def test_the_format_is_detected_from_the_content(tmp_path: Path) -> None:
    state = weights("tiny_slow")
    for legacy in (True, False):
        path = tmp_path / f"{legacy}.pkl"
        torch.save({"model_state": state}, path, _use_new_zipfile_serialization=not legacy)
        assert read_checkpoint(path).keys() == state.keys()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_caffe2_arrays_are_read_without_unpickling_numpy(protocol: int, tmp_path: Path) -> None:
    state = weights("tiny_slow")
    blobs: dict[str, Any] = {"lr": np.float32(0.1), "conv1_w_momentum": np.zeros(3), "model_iter": 5}
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            array = value.numpy()
            blobs[_blob(key)] = array[..., 0, 0, 0] if key == "s2.pathway0_res0.branch2.c.weight" else array
    blobs["conv1_w"] = np.asfortranarray(blobs["conv1_w"]).astype(">f4")
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=protocol))
    model = models.load_pyslowfast("tiny_slow", path)
    exported = models.export_pyslowfast(model)
    assert all(torch.equal(exported[k], state[k]) for k in state)


def test_caffe2_pickles_of_python_2_are_read() -> None:
    # {'blobs': {'conv1_w': array([1., 2.], dtype=float32)}} as written by Python 2: the bytes are a str.
    data = (
        b"\x80\x02}q\x00U\x05blobsq\x01}q\x02U\x07conv1_wq\x03cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\n"
        b"ndarray\nq\x05K\x00\x85U\x01b\x87Rq\x06(K\x01K\x02\x85cnumpy\ndtype\nq\x07U\x02f4K\x00K\x01\x87Rq\x08(K\x03"
        b"U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\x80?\x00\x00\x00@tbss."
    )
    state = read_caffe2(data)
    assert state["s1.pathway0_stem.conv.weight"].tolist() == [1.0, 2.0]


def _blob(key: str) -> str:
    """Return the Caffe2 name of a key, for a network with one pathway and no non-local blocks."""
    key = key.replace("s1.pathway0_stem.bn", "res_conv1_bn").replace("s1.pathway0_stem.conv.weight", "conv1_w")
    for s in range(2, 6):
        key = key.replace(f"s{s}.pathway0_res", f"res{s}_")
    key = key.replace(".branch2.", "_branch2").replace(".branch1", "_branch1").replace("head.projection", "pred")
    if "bn." in key:
        ends = {".weight": "_s", ".bias": "_b", ".running_mean": "_rm", ".running_var": "_riv"}
    else:
        ends = {".weight": "_w", ".bias": "_b"}
    for end, short in ends.items():
        key = key.replace(end, short)
    return key


@pytest.mark.parametrize("file", C2_FILES)
def test_blob_names_of_the_published_checkpoints(file: str, shared: Path) -> None:
    table = json.loads((shared / "parity" / "c2_names" / f"{file}.json").read_text())
    assert len(table["pairs"]) > 200
    assert [pyslowfast_key(blob) for blob, *_ in table["pairs"]] == [key for _, _, key, *_ in table["pairs"]]


@pytest.mark.parametrize(
    ("blob", "key"),
    [
        ("nonlocal_conv4_13_theta_w", "s4.pathway0_nonlocal13.conv_theta.weight"),
        ("nonlocal_conv3_1_bn_riv", "s3.pathway0_nonlocal1.bn.running_var"),
        ("nonlocal_conv3_1_out_b", "s3.pathway0_nonlocal1.conv_out.bias"),
        ("t_res4_22_branch2c_bn_subsample_w", "s4_fuse.conv_f2s.weight"),
        ("t_res2_0_branch1_bn_rm", "s2.pathway1_res0.branch1_bn.running_mean"),
        ("res3_0_branch2b_bn_fc1_w", "s3.pathway0_res0.branch2.se.fc1.weight"),
        ("res3_0_branch2b_bn_fc2_b", "s3.pathway0_res0.branch2.se.fc2.bias"),
        ("conv1_xy_w", "s1.pathway0_stem.conv_xy.weight"),
        ("t_conv1_w", "s1.pathway1_stem.conv.weight"),
        ("pred_b", "head.projection.bias"),
        ("conv_5_w", "head.conv_5.weight"),
        ("lin_5_w", "head.lin_5.weight"),
    ],
)
def test_blob_names_follow_the_published_rules(blob: str, key: str) -> None:
    assert pyslowfast_key(blob) == key


def test_2d_weights_are_inflated_on_request() -> None:
    state = weights("tiny_i3d")
    flat = {k: v.mean(2) if v.ndim == 5 else v for k, v in state.items()}
    with pytest.raises(CheckpointError, match="mismatched"):
        models.load_pyslowfast("tiny_i3d", flat)
    model = models.load_pyslowfast("tiny_i3d", flat, inflate=True)
    stem = models.export_pyslowfast(model)["s1.pathway0_stem.conv.weight"]
    assert stem.shape[2] == 5
    assert torch.allclose(stem.sum(2), flat["s1.pathway0_stem.conv.weight"], atol=1e-6)


@pytest.mark.parametrize("name", ["tiny_mvitv1", "tiny_mvitv2"])
def test_positions_of_another_grid_are_resized(name: str) -> None:
    small = weights(name)
    for key, value in small.items():
        if "pos_embed" in key or "rel_pos" in key:
            small[key] = torch.full_like(value, 0.25)
    model = models.load_pyslowfast(name, small, input_size=128, num_frames=8)
    state = models.export_pyslowfast(model)
    changed = [k for k in small if state[k].shape != small[k].shape]
    assert changed and all("pos" in k for k in changed)
    assert all(torch.allclose(state[k], torch.tensor(0.25)) for k in changed)


def test_the_command_line_converts_in_both_directions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = weights("tiny_slowfast")
    torch.save({"model_state": state}, tmp_path / "in.pyth")
    folder, out = str(tmp_path / "hf"), str(tmp_path / "out.pyth")
    assert main(["models", "convert", str(tmp_path / "in.pyth"), folder, "--name", "tiny_slowfast"]) == 0
    assert main(["models", "convert", folder, out]) == 0
    exported = read_checkpoint(out)
    assert all(torch.equal(exported[k], state[k]) for k in state)
    assert main(["models", "convert", str(tmp_path / "in.pyth"), folder, "--name", "tiny_slowfast"]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["models", "convert", str(tmp_path / "in.pyth"), str(tmp_path / "x")]) == 2
    assert "--name" in capsys.readouterr().err
    assert main(["models", "convert", str(tmp_path / "in.pyth"), str(tmp_path / "x"), "--name", "tiny_x3d"]) == 2
    assert "does not fit tiny_x3d" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
