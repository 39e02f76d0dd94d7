"""The models behave like transformers models: Auto classes, initialization, checkpointing, compile, Hub."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from microg4m_hf import models
from microg4m_hf.models.backbones.layers import BatchNorm
from microg4m_hf.models.registry import TINY
from tests.support.hub_server import HubServer
from tests.support.warm_python import warm_python

BOXES = [[[0.1, 0.2, 0.6, 0.9]], [[0.0, 0.0, 1.0, 1.0]]]


def clips(name: str) -> torch.Tensor:
    return torch.randn(2, 3, TINY[name].num_frames, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_registry_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, microg4m_hf.models as m; m.VARIANTS\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_auto_classes_find_the_models_when_transformers_is_imported_first(tmp_path: Path) -> None:
    models.create("tiny_x3d").save_pretrained(tmp_path)
    code = (
        "import sys, transformers.pipelines, microg4m_hf.models\n"
        "from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification, AutoProcessor\n"
        "for auto in (AutoConfig, AutoProcessor, AutoModel, AutoModelForVideoClassification):\n"
        "    print(type(auto.from_pretrained(sys.argv[1])).__name__)\n"
    )
    out = subprocess.run([warm_python(), "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert out.stdout.split() == [
        "MicroG4MHarConfig",
        "MicroG4MHarProcessor",
        "MicroG4MHarModel",
        "MicroG4MHarForVideoClassification",
    ]


def test_labels_are_named() -> None:
    assert models.config_of("x3d_s").id2label[9] == "stand"
    assert models.config_of("slow_8x8_r50_ava").id2label[12] == "swim"
    named = models.create("tiny_slow", id2label={0: "float", 1: "drift"}, label2id={"float": 0, "drift": 1})
    assert named.config.num_labels == 2 and named.head.projection.out_features == 2


@pytest.mark.parametrize("name", TINY)
def test_weights_missing_in_a_checkpoint_are_initialized(name: str, tmp_path: Path) -> None:
    """transformers builds models on the meta device, so ``_init_weights`` must fill what a checkpoint does not."""
    from safetensors.torch import load_file, save_file

    model = models.create(name)
    model.save_pretrained(tmp_path)
    kept = {k: v for k, v in load_file(tmp_path / "model.safetensors").items() if k.startswith("head.")}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = models.MicroG4MHarForVideoClassification.from_pretrained(tmp_path)
    for (key, value), fresh in zip(loaded.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.isfinite(value.float()).all() and value.float().abs().max() < 10, key
        if fresh.float().std(correction=0) == 0:  # constants: norms, biases, counters
            assert torch.equal(value, fresh), key
        elif value.numel() >= 256:  # fewer values have too uncertain a standard deviation
            assert float(value.std()) == pytest.approx(float(fresh.std()), rel=0.5), key


def test_initial_weights_follow_the_published_rules() -> None:
    torch.manual_seed(0)
    slow = models.create("slow_4x16_r50", width=16).backbone.network
    conv = slow.s4.pathway0_res0.branch2.b.weight
    assert float(conv.std()) == pytest.approx((2 / (conv.shape[0] * 9)) ** 0.5, rel=0.02)
    norms = [module for module in slow.modules() if isinstance(module, BatchNorm)]
    assert all(float(norm.weight.abs().max()) == (0.0 if norm.zero_gain else 1.0) for norm in norms)
    assert slow.s4.pathway0_res0.branch2.c_bn.zero_gain and not slow.s4.pathway0_res0.branch1_bn.zero_gain
    nonlocal_net = models.create("tiny_c2d_nln").backbone.network
    assert nonlocal_net.s3.pathway0_nonlocal0.bn.zero_gain
    head = models.create("slow_4x16_r50", width=16).head.projection
    assert float(head.weight.std()) == pytest.approx(0.01, rel=0.05) and float(head.bias.abs().max()) == 0.0
    mvit = models.create("tiny_mvitv1", embed_dim=64)
    block = mvit.backbone.network.blocks[1]
    assert float(block.mlp.fc1.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert set(block.mlp.fc1.bias.tolist()) == {torch.tensor(0.02).item()}
    assert float(block.norm1.weight.min()) == 1.0 and float(block.norm1.bias.min()) == pytest.approx(0.02)
    assert float(mvit.backbone.network.pos_embed_spatial.std()) == pytest.approx(0.02, rel=0.05)
    rates = [b.drop_path.rate for b in models.create("mvitv2_s_16x4", embed_dim=8).backbone.network.blocks]
    assert rates == pytest.approx([0.2 * i / 15 for i in range(16)])
    assert {m.eps for m in mvit.modules() if isinstance(m, nn.LayerNorm)} == {1e-6}


@pytest.mark.parametrize("name", TINY)
def test_gradient_checkpointing_changes_nothing_but_memory(name: str) -> None:
    torch.manual_seed(0)
    plain = models.create(name, dropout=0.0).train()
    saving = copy.deepcopy(plain)
    saving.activation_checkpointing_enable()
    labels = torch.eye(50)[:2]
    for model in (plain, saving):
        model(pixel_values=clips(name), boxes=BOXES, labels=labels).loss.backward()
    for (key, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), key
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), saving.buffers(), strict=True))


@pytest.mark.parametrize("name", ["tiny_slowfast", "tiny_mvitv2"])
def test_a_compiled_model_computes_the_same(name: str) -> None:
    """Trace without graph breaks and run with the eager backend; generated code is not tested here."""
    torch.manual_seed(0)
    model = models.create(name).eval()
    compiled = torch.compile(model.backbone, backend="eager", fullgraph=True)
    with torch.inference_mode():
        expected = model.backbone(clips(name)).feature_maps
        assert all(torch.equal(a, b) for a, b in zip(compiled(clips(name)).feature_maps, expected, strict=True))
        whole = torch.compile(model, backend="eager")
        actual = whole(pixel_values=clips(name), boxes=BOXES).logits
        assert torch.equal(actual, model(pixel_values=clips(name), boxes=BOXES).logits)


@pytest.mark.parametrize("how", [{"dtype": torch.bfloat16}, {"device_map": "cpu"}, {"device_map": {"": "cpu"}}])
def test_loading_options_of_transformers(how: dict[str, Any], tmp_path: Path) -> None:
    model = models.create("tiny_slow").eval()
    model.save_pretrained(tmp_path)
    loaded = models.MicroG4MHarForVideoClassification.from_pretrained(tmp_path, **how)
    with torch.inference_mode():
        logits = loaded(pixel_values=clips("tiny_slow"), boxes=BOXES).logits
        expected = model(pixel_values=clips("tiny_slow"), boxes=BOXES).logits
    assert loaded.dtype == how.get("dtype", torch.float32)
    assert torch.allclose(logits.float(), expected, atol=1e-2 if "dtype" in how else 0)


def test_another_number_of_classes_replaces_the_head(tmp_path: Path) -> None:
    models.create("tiny_slow").save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = models.MicroG4MHarForVideoClassification.from_pretrained(
            tmp_path, num_labels=3, ignore_mismatched_sizes=True
        )
    assert loaded.head.projection.weight.shape[0] == 3


def test_push_to_hub_and_load_from_it(hub: HubServer, tmp_path: Path) -> None:
    code = (
        "from microg4m_hf import models\n"
        "import torch\n"
        "from transformers import AutoModelForVideoClassification, AutoProcessor\n"
        "torch.manual_seed(0)\n"
        "model = models.create('tiny_mvitv1').eval()\n"
        "model.push_to_hub('me/tiny', token='hf_test')\n"
        "pulled = AutoModelForVideoClassification.from_pretrained('me/tiny')\n"
        "clip = torch.randn(1, 3, 4, 64, 64)\n"
        "with torch.inference_mode():\n"
        "    logits = [m(pixel_values=clip, boxes=[[[0, 0, 1, 1]]]).logits for m in (model, pulled)]\n"
        "assert torch.equal(*logits)\n"
        "print(AutoProcessor.from_pretrained('me/tiny').num_frames)\n"
    )
    environment = {**os.environ, **hub.environment(), "HF_HOME": str(tmp_path / "hf")}
    out = subprocess.run([warm_python(), "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert out.returncode == 0, out.stderr[-3000:]
    assert out.stdout.strip() == "4"
    assert {"config.json", "model.safetensors", "processor_config.json"} <= set(hub.repo("model", "me/tiny").tree())
