"""The fourteen published names with networks of a few thousand weights, and their files in the published layouts."""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from microg4m_hf import models
from microg4m_hf.models.registry import PUBLISHED, TINY, VARIANTS
from microg4m_hf.models.weights import WEIGHTS
from tests.models.test_pyslowfast import _blob

_KIND = {
    "c2d_8x8_r50": "c2d",
    "c2d_nln_8x8_r50": "c2d_nln",
    "i3d_8x8_r50": "i3d",
    "i3d_nln_8x8_r50": "c2d_nln",
    "slow_8x8_r50": "slow",
    "slow_4x16_r50": "slow",
    "slowfast_8x8_r50": "slowfast",
    "x3d_s": "x3d",
    "x3d_l": "x3d",
    "slowfast_4x16_r50": "slowfast",
    "mvitv1_b_16x4": "mvitv1",
    "mvitv2_s_16x4": "mvitv2",
    "slow_8x8_r50_ava": "slow",
    "slowfast_32x2_r101_ava": "slowfast",
}
SMALL = {
    name: replace(
        TINY[f"tiny_{_KIND[name]}"],
        title=one.title,
        settings="paper",
        published=one.published,
        note=one.note,
        num_labels=one.num_labels,
    )
    for name, one in PUBLISHED.items()
}
# What a repository could look like: folders, epochs, suffixes, spellings, and files that belong to no model.
LAYOUT = {
    "c2d_8x8_r50": "HAR/C2D_8x8_R50/checkpoint_epoch_00035.pyth",
    "c2d_nln_8x8_r50": "HAR/C2D_8x8_R50_NLN/checkpoints/checkpoint_epoch_00030.pyth",
    "i3d_8x8_r50": "I3D_8x8_R50_best.pyth",
    "i3d_nln_8x8_r50": "i3d-nln-8x8-r50.epoch40.pyth",
    "slow_4x16_r50": "SLOWONLY_4x16_R50/epoch_25.pyth",
    "slow_8x8_r50": "SLOWONLY_8x8_R50.pkl",
    "slowfast_4x16_r50": "slowfast/SLOWFAST_4x16_R50.pt",
    "slowfast_8x8_r50": "slowfast/SLOWFAST_8x8_R50_20.pyth",
    "mvitv1_b_16x4": "MViT/MVIT_B_16x4/ckpt.pyth",
    "mvitv2_s_16x4": "MViT/MVITv2_S_16x4/epoch_40/model.pyth",
    "x3d_s": "x3d/X3D_S.pyth",
    "x3d_l": "x3d/X3D_L-best.pyth",
}
_OTHERS = ("README.md", "SLOWONLY_4x16_R50/epoch_20.pyth", "MViT/MVITv2_S_16x4/epoch_25/model.pyth", "x3d/X3D_L.yaml")


def shrink_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the published names build small networks."""
    for name, small in SMALL.items():
        monkeypatch.setitem(PUBLISHED, name, small)
        monkeypatch.setitem(VARIANTS, name, small)


@functools.cache
def small_state(name: str, classes: int | None = None) -> Mapping[str, torch.Tensor]:
    """Random weights of a small network, with PySlowFast's keys; the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(list(SMALL).index(name))
        count = SMALL[name].num_labels if classes is None else classes
        return models.export_pyslowfast(models.create(f"tiny_{_KIND[name]}", num_labels=count))


def pyth(state: Mapping[str, torch.Tensor], epoch: int = 30) -> bytes:
    """A checkpoint as PySlowFast writes it, with the state of an optimizer."""
    content = io.BytesIO()
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(10_000)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({"epoch": epoch, "model_state": state, "optimizer_state": optimizer, "cfg": "TRAIN: {}"}, content)
    return content.getvalue()


def caffe2(state: Mapping[str, torch.Tensor]) -> bytes:
    """A checkpoint in the form of Caffe2, with blobs that belong to no weight."""
    blobs: dict[str, Any] = {"lr": 0.1, "model_iter": 7}
    blobs |= {_blob(key): value.numpy() for key, value in state.items() if not key.endswith("num_batches_tracked")}
    return pickle.dumps({"blobs": blobs}, protocol=2)


@functools.cache
def released_files() -> dict[str, bytes]:
    """The repository of the authors: the tested epoch of each model among other files."""
    files = {}
    for name, file in LAYOUT.items():
        as_caffe2 = file.endswith(".pkl")
        files[file] = caffe2(small_state(name)) if as_caffe2 else pyth(small_state(name), WEIGHTS[name].epochs[0])
    wrong = pyth(small_state("slow_4x16_r50", classes=7))
    return files | {file: b"text" if file.endswith((".md", ".yaml")) else wrong for file in _OTHERS}


@functools.cache
def zoo_files() -> dict[str, bytes]:
    """The files of the PySlowFast zoo that belong to the models, with the classes they were trained on."""
    files = {}
    for name, one in WEIGHTS.items():
        if one.pretrained is not None and name in SMALL:
            state = small_state(name, 80 if name.endswith("_ava") else 400)
            # The SlowFast R101 of AVA is a file of torch that is called .pkl.
            is_torch = one.pretrained.endswith(".pyth") or "R101" in one.pretrained
            files[one.pretrained] = pyth(state) if is_torch else caffe2(state)
    return files
