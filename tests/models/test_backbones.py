"""The backbones are the published networks: parameter counts for all, logits where there is a reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from microg4m_hf import models
from microg4m_hf.models.backbones.layers import NonLocal, apply_convolution
from microg4m_hf.models.backbones.mvit import _relative_entries
from microg4m_hf.models.frozen import FrozenNetwork
from microg4m_hf.models.registry import CORRECTED, PUBLISHED, TINY
from tests.support import parity


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_match_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        model = models.create(name)
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name].parameters
    assert model.config.settings == "paper"


@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_the_convolution_of_pixels_is_trained_in_float32_on_a_cpu(how: str) -> None:
    """The kernel for its gradient in bfloat16 writes beyond its memory on some processors."""
    torch.manual_seed(0)
    dtype = torch.bfloat16
    conv = torch.nn.Conv3d(3, 8, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False).to(dtype).float()
    pixels, incoming = torch.randn(1, 3, 2, 16, 16).to(dtype).float(), torch.randn(1, 8, 2, 8, 8).to(dtype)
    conv(pixels).backward(incoming.float())
    expected = conv.weight.grad
    assert expected is not None
    conv.zero_grad()
    if how == "weights":
        conv, pixels, expected = conv.to(dtype), pixels.to(dtype), expected.to(dtype)
    with torch.autocast("cpu", dtype, enabled=how == "autocast"):
        output = apply_convolution(conv, pixels)
    output.backward(incoming)
    assert output.dtype == dtype
    assert torch.equal(conv.weight.grad, expected)
    assert apply_convolution(conv.double(), pixels.double()).dtype == torch.float64


@pytest.mark.slow
@pytest.mark.parametrize("name", parity.REFERENCES)
def test_logits_and_stages_match_the_reference(name: str, shared: Path) -> None:
    reference = parity.read(shared / "parity", parity.REFERENCES[name])
    model = models.load_pyslowfast(name, parity.state_dict(reference))
    assert sorted(models.export_pyslowfast(model)) == sorted(e["key"] for e in reference["state_dict"])
    seen: dict[str, list[torch.Tensor]] = {}
    network = model.backbone.network
    stages = [stage for stage in reference["stage_stats"] if stage in dict(network.named_modules())]
    for stage in stages:
        network.get_submodule(stage).register_forward_hook(
            lambda _, __, out, stage=stage: seen.update({stage: out if isinstance(out, list) else [_first(out)]})
        )
    clip = parity.clip(reference["input"]["shape"])
    with torch.inference_mode():
        out = model(pixel_values=clip, boxes=parity.boxes(reference["boxes"]["values"], *clip.shape[3:]))
    for stage in stages:
        expected = reference["stage_stats"][stage]
        expected = expected if isinstance(expected[0], list) else [expected]
        if stage == "patch_embed":  # the reference has the output of the convolution as tokens
            seen[stage] = [seen[stage][0].flatten(2)]
        actual = [[float(t.mean()), float(t.std(correction=0))] for t in seen[stage]]
        assert torch.allclose(torch.tensor(actual), torch.tensor(expected), atol=1e-4, rtol=1e-4), stage
    assert (out.logits - torch.tensor(reference["logits"])).abs().max() < 1e-4
    assert len(stages) >= 5

    # Whole frames as well, where region sampling, odd sizes and positions differ.
    reference = parity.read(shared / "parity" / "test_geometry", parity.REFERENCES[name])
    clip = parity.clip(reference["input_shape"])
    boxes = parity.boxes(reference["boxes"], *clip.shape[3:])
    fast = FrozenNetwork(network)
    with torch.inference_mode():
        out = model(pixel_values=clip, boxes=boxes)
        with fast.installed():
            packed = model(pixel_values=clip, boxes=boxes).logits
    assert (out.logits - torch.tensor(reference["logits"])).abs().max() < 1e-4
    assert fast.report()["used"] == "packed"
    assert (packed - out.logits).abs().max() < 3e-6 * out.logits.abs().max()


def _first(out: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("name", [*CORRECTED, *TINY])
def test_roi_stride_is_the_stride_of_the_network(name: str) -> None:
    with torch.device("meta"):
        model = models.create(name)
        variant = {**CORRECTED, **TINY}[name]
        features = model.backbone(torch.zeros(1, 3, variant.num_frames, 128, 192)).feature_maps
    assert {tuple(f.shape[3:]) for f in features} == {(128 // model.config.roi_stride, 192 // model.config.roi_stride)}


@pytest.mark.parametrize("name", ["mvitv1_b_16x4", "mvitv2_s_16x4", "x3d_s", "x3d_l"])
def test_published_and_corrected_models_share_their_weights(name: str) -> None:
    assert (models.config_of(name).roi_stride, models.config_of(f"{name}_corrected").roi_stride) == (16, 32)
    assert models.config_of(name).network == models.config_of(f"{name}_corrected").network
    assert models.for_training(name) == f"{name}_corrected"


def test_slowfast_r101_has_its_nonlocal_blocks_and_kernels() -> None:
    with torch.device("meta"):
        keys = {
            k: tuple(v.shape)
            for k, v in models.export_pyslowfast(models.create("slowfast_32x2_r101_ava"), copy=False).items()
        }
    blocks = {k.split(".")[1] for k in keys if "nonlocal" in k}
    assert blocks == {"pathway0_nonlocal6", "pathway0_nonlocal13", "pathway0_nonlocal20"}
    kernels = [keys[f"s4.pathway0_res{i}.branch2.a.weight"][2] for i in range(23)]
    assert kernels == [3] * 6 + [1] * 17
    assert keys["s1_fuse.conv_f2s.weight"][2] == 5


@pytest.mark.parametrize("kind", ["softmax", "dot_product"])
def test_nonlocal_is_attention_over_all_positions(kind: str) -> None:
    torch.manual_seed(0)
    block = NonLocal(8, (2, 2, 2), kind).eval()
    x = torch.randn(2, 8, 4, 6, 5)
    pooled = F.max_pool3d(x, 2, 2)
    theta = torch.einsum("oi,bip->bop", block.conv_theta.weight[:, :, 0, 0, 0], x.flatten(2))
    theta += block.conv_theta.bias[:, None]
    phi = block.conv_phi(pooled).flatten(2)
    weights = torch.einsum("bcp,bcq->bpq", theta, phi)
    weights = (weights / 2).softmax(2) if kind == "softmax" else weights / phi.shape[2]
    mixed = torch.einsum("bpq,bcq->bcp", weights, block.conv_g(pooled).flatten(2)).view(2, 4, 4, 6, 5)
    assert torch.allclose(block(x), x + block.bn(block.conv_out(mixed)), atol=1e-5)


def test_mvitv2_matches_torchvision() -> None:
    """Compare with an independent implementation, with weights that make every term contribute."""
    from torchvision.models.video import mvit

    stages = [((1, 1, 1), 1, 8), ((1, 2, 2), 2, 16), ((1, 1, 1), 2, 16), ((1, 2, 2), 4, 32)]
    kv, settings, dim = (1, 4, 4), [], 8
    for q, heads, out in stages:
        kv = tuple(max(a // b, 1) for a, b in zip(kv, q, strict=True))
        settings.append(mvit.MSBlockConfig(heads, dim, out, (3, 3, 3), (3, 3, 3), q, kv))
        dim = out
    theirs = mvit.MViT(
        (64, 64), 8, settings, True, False, True, True, num_classes=3, attention_dropout=0.0, dropout=0.0
    ).eval()
    ours = models.create(
        "tiny_mvitv2", depth=4, embed_dim=8, double_at=(1, 3), kv_stride=(1, 4, 4), num_frames=8, num_labels=3
    ).eval()
    torch.manual_seed(0)
    state = {key: torch.randn_like(value) * 0.3 for key, value in models.export_pyslowfast(ours).items()}
    ours = models.load_pyslowfast(
        "tiny_mvitv2", state, depth=4, embed_dim=8, double_at=(1, 3), kv_stride=(1, 4, 4), num_frames=8, num_labels=3
    )
    names = {"patch_embed.proj": "conv_proj", "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.3", "attn.proj": "attn.project.0"}
    for axis in "qkv":
        names |= {f"pool_{axis}.weight": f"pool_{axis}.pool.weight", f"norm_{axis}.": f"pool_{axis}.norm_act.0."}
    renamed = {}
    for key, value in state.items():
        if key.startswith("head."):
            continue
        for old, new in names.items():
            key = key.replace(old, new)
        key = key.replace(".proj.", ".project.") if "attn" not in key and "conv" not in key else key
        renamed["pos_encoding.class_token" if key == "cls_token" else key] = value
    renamed["pos_encoding.class_token"] = renamed["pos_encoding.class_token"].view(-1)
    missing, unexpected = theirs.load_state_dict(renamed, strict=False)
    assert not unexpected and all(key.startswith("head.") for key in missing)
    clip = torch.randn(2, 3, 8, 64, 64)
    with torch.inference_mode():
        x = theirs.pos_encoding(theirs.conv_proj(clip).flatten(2).transpose(1, 2))
        grid = (4, 16, 16)
        for block in theirs.blocks:
            x, grid = block(x, grid)
        expected = theirs.norm(x)[:, 1:].transpose(1, 2)
        got = ours.backbone(clip).feature_maps[0].flatten(2)
    assert torch.allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize(("q", "k"), [(8, 8), (25, 13), (50, 7), (7, 13)])
def test_relative_positions_use_the_entry_of_the_distance(q: int, k: int) -> None:
    length = 2 * max(q, k) - 1
    rows = _relative_entries(torch.arange(float(length))[:, None], q, k)[..., 0]
    for i in range(q):
        for j in range(k):
            exact = i * max(k / q, 1) + (k - 1 - j) * max(q / k, 1)
            assert abs(float(rows[i, j]) - exact) < 1 + 1e-4 and float(rows[i, j]) <= exact + 1e-4
    stretched = _relative_entries(torch.arange(5.0)[:, None], q, k)[..., 0]
    assert float(stretched.max()) <= 4.0 and float(stretched.min()) >= 0.0
