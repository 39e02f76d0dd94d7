"""Video encoders of transformers behind the benchmark's head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, TimesformerConfig, VideoMAEConfig, VivitConfig, VJEPA2Config

from microg4m_hf import models
from microg4m_hf.errors import ModelError
from microg4m_hf.models.registry import TINY
from tests.models.test_learning import CLASSES, overfit

SMALL: dict[str, Any] = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
PREDICTOR = {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
CONFIGS = {
    "videomae": VideoMAEConfig(image_size=64, num_frames=4, intermediate_size=48, **SMALL),
    "vjepa2": VJEPA2Config(crop_size=64, frames_per_clip=4, mlp_ratio=2, **SMALL, **PREDICTOR),
    "vivit": VivitConfig(image_size=64, num_frames=4, intermediate_size=48, tubelet_size=[2, 16, 16], **SMALL),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_tokens_are_returned_as_the_grid_they_came_from(kind: str) -> None:
    """Changing one corner in half of the frames changes only the tokens there, without layers that mix them."""
    torch.manual_seed(0)
    config = type(CONFIGS[kind]).from_dict({**CONFIGS[kind].to_dict(), "num_hidden_layers": 0})
    model = models.wrap(config).eval()
    clip = torch.randn(1, 3, 4, 64, 64)
    changed = clip.clone()
    changed[:, :, 2:, 16:32, 32:48] += 1
    with torch.inference_mode():
        before, after = (model.backbone(c).feature_maps[0] for c in (clip, changed))
    assert before.shape == (1, 24, 2, 4, 4) and model.config.roi_stride == 16
    moved = (before - after).abs().amax(1)[0] > 1e-6
    assert moved.nonzero().tolist() == [[1, 1, 2]]


@pytest.mark.parametrize("name", [*CONFIGS, *TINY])
def test_every_weight_gets_a_gradient(name: str) -> None:
    """Distributed training fails for weights without a gradient."""
    model = models.wrap(CONFIGS[name]) if name in CONFIGS else models.create(name)
    clip = torch.randn(1, 3, model.config.num_frames, 64, 64)
    model.train()(pixel_values=clip, boxes=[[[0, 0, 1, 1]]], labels=torch.zeros(1, 50)).loss.backward()
    assert [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_wrapped_encoder_learns_and_can_be_saved(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = models.wrap(CONFIGS[kind], num_labels=CLASSES, dropout=0.0)
    score, _ = overfit(model, 64)
    assert score == 1.0
    model.eval().save_pretrained(tmp_path)
    again = models.MicroG4MHarForVideoClassification.from_pretrained(tmp_path)
    clip = torch.randn(1, 3, 4, 64, 64)
    with torch.inference_mode():
        a, b = (m(pixel_values=clip, boxes=[[[0, 0, 1, 1]]]).logits for m in (model, again))
    assert torch.equal(a, b)
    assert again.config.image_mean == [0.485, 0.456, 0.406]


def test_the_weights_of_an_encoder_are_kept(tmp_path: Path) -> None:
    encoder = AutoModel.from_config(CONFIGS["vjepa2"])
    encoder.save_pretrained(tmp_path)
    for source in (encoder, str(tmp_path)):
        inner = models.wrap(source).backbone.network.encoder
        assert torch.equal(inner.encoder.layer[0].mlp.fc1.weight, encoder.encoder.layer[0].mlp.fc1.weight)
        assert not any("predictor" in key for key in inner.state_dict())


def test_an_encoder_with_another_token_order_is_rejected() -> None:
    with pytest.raises(ModelError, match="timesformer"):
        models.wrap(TimesformerConfig(image_size=32, num_frames=4, **SMALL))
