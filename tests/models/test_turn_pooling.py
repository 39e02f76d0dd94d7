"""Turn pooling: the logits of a clip and its quarter turns are the same, for every family, and it is one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from microg4m_hf import models
from microg4m_hf.cli.main import main
from microg4m_hf.errors import ModelError
from microg4m_hf.models.build import count_parameters_and_gflops
from microg4m_hf.models.inputs import round_boxes, turn_boxes, turn_clips
from microg4m_hf.models.registry import TINY
from microg4m_hf.training.build import build_model
from microg4m_hf.training.recipe import Data, Model
from tests.models.test_export import MORE, PEOPLE, _clips, _sizes
from tests.models.test_transformers_encoder import CONFIGS

# Released boxes have three decimals; a person may fill the frame.
BOXES = torch.tensor([[0, 0.0, 0.0, 1.0, 1.0], [0, 0.101, 0.203, 0.407, 0.999], [1, 0.3, 0.001, 0.711, 0.25]])


def _model(name: str, **settings: Any) -> Any:
    """A model whose weights are all random: fresh ones have norms of zero, which hide half of the network."""
    torch.manual_seed(0)
    settings = {"turn_pooling": True} | settings
    model = models.wrap(CONFIGS[name], **settings) if name in CONFIGS else models.create(name, **settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def _turned(clips: torch.Tensor, boxes: torch.Tensor, quarters: int) -> dict[str, torch.Tensor]:
    places = torch.cat([boxes[:, :1], turn_boxes(boxes[:, 1:], quarters)], 1)
    return {"pixel_values": turn_clips(clips, quarters), "boxes": places}


@pytest.mark.parametrize("name", [*TINY, *CONFIGS])
def test_logits_are_equal_under_quarter_turns(name: str) -> None:
    model = _model(name)
    sizes = [(64, 64)] if name in CONFIGS else [(64, 64), (56, 91)]
    for size in sizes:
        clips = torch.randn(2, 3, model.config.num_frames, *size)
        with torch.inference_mode():
            expected = model(pixel_values=clips, boxes=BOXES).logits
            for quarters in (1, 2, 3):
                logits = model(**_turned(clips, BOXES, quarters)).logits
                assert (logits - expected).abs().max() < 1e-5
    model.config.turn_pooling = False
    with torch.inference_mode():  # the same weights without pooling see which way is up
        single = [model(**_turned(clips, BOXES, quarters)).logits for quarters in (0, 1)]
    assert (single[0] - single[1]).abs().max() > 1e-3


def test_pooling_is_the_mean_over_the_turns() -> None:
    model = _model("tiny_slow")
    clips, boxes = _clips(model, 2), torch.cat([BOXES[:, :1], round_boxes(BOXES[:, 1:])], 1)
    with torch.inference_mode():
        pooled = model(pixel_values=clips, boxes=boxes).logits
        model.config.turn_pooling = False
        turns = torch.stack([model(**_turned(clips, boxes, quarters)).logits for quarters in range(4)])
    assert torch.allclose(pooled, turns.mean(0), atol=1e-6)


def test_boxes_come_back_bit_for_bit_after_a_full_turn() -> None:
    boxes = round_boxes(torch.rand(1000, 4))
    assert torch.equal(turn_boxes(turn_boxes(boxes, 1), 3), boxes)
    released = (torch.arange(1001) / 1000)[:, None].expand(-1, 4)
    for quarters in (1, 2, 3):  # whichever comes first, turning or rounding
        assert torch.equal(round_boxes(turn_boxes(released, quarters)), turn_boxes(round_boxes(released), quarters))


def test_turns_agree_with_numpy() -> None:
    frame = torch.arange(12).reshape(3, 4)
    for quarters in range(-1, 6):
        assert torch.equal(turn_clips(frame, quarters), torch.from_numpy(np.rot90(frame.numpy(), -quarters).copy()))


def test_an_encoder_of_transformers_refuses_what_is_not_square() -> None:
    with pytest.raises(ModelError, match=r"64x96 and 96x64 pixels.* data\.test_crop"):
        _model("videomae")(pixel_values=torch.zeros(1, 3, 4, 64, 96), boxes=BOXES[:1])


def test_it_trains_saves_and_loads_as_one_model(tmp_path: Path) -> None:
    model = _model("tiny_slowfast").train()
    clips = _clips(model, 2)
    model(pixel_values=clips, boxes=BOXES, labels=torch.ones(3, 50)).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.eval().save_pretrained(tmp_path)
    for again in (models.load_saved(tmp_path), models.MicroG4MHarForVideoClassification.from_pretrained(tmp_path)):
        assert again.config.turn_pooling and again.config.settings == "custom"
        with torch.inference_mode():
            pair = [m(pixel_values=clips, boxes=BOXES).logits for m in (model, again)]
        assert torch.equal(*pair)
    # Weights that were trained without it can be used with it, and the other way round.
    assert not models.load_saved(tmp_path, turn_pooling=False).config.turn_pooling


def test_hidden_states_are_those_of_the_clip_as_given() -> None:
    model = _model("tiny_mvitv2")
    with torch.inference_mode():
        states = model(_clips(model, 1), BOXES[:2], output_hidden_states=True).hidden_states
        expected = model.backbone(_clips(model, 1), output_hidden_states=True).hidden_states
    assert len(states) == len(expected) and all(map(torch.equal, states, expected))


def test_a_wide_clip_exports_with_any_number_of_clips_and_people() -> None:
    """Square clips are exported by the test with onnxruntime; wide ones take two passes."""
    model = _model("tiny_c2d")
    clips = torch.randn(3, 3, 4, 32, 48)
    inputs = {"pixel_values": clips[:2], "boxes": PEOPLE}
    exported = torch.export.export(model, (), inputs, dynamic_shapes=_sizes()).module()
    with torch.inference_mode():
        logits = exported(pixel_values=clips, boxes=MORE).logits
        assert torch.allclose(logits, model(pixel_values=clips, boxes=MORE).logits, atol=1e-6)


def test_people_may_be_absent() -> None:
    model = _model("tiny_slow")
    assert model(pixel_values=_clips(model, 1), boxes=[[]]).logits.shape == (0, 50)


def test_onnxruntime_computes_the_same_and_is_invariant(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, path = _model("tiny_slow"), tmp_path / "model.onnx"
    clips = _clips(model, 2)
    how = {"dynamo": True, "output_names": ["logits", "clip_index"], "verbose": False}
    torch.onnx.export(model, (), path, kwargs={"pixel_values": clips, "boxes": BOXES}, dynamic_shapes=_sizes(), **how)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = model(pixel_values=clips, boxes=BOXES).logits.numpy()
    for quarters in range(4):
        inputs = {name: value.numpy() for name, value in _turned(clips, BOXES, quarters).items()}
        assert np.abs(session.run(["logits"], inputs)[0] - expected).max() < 1e-5


def test_the_cost_is_four_passes_and_one_head(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tiny_slowfast", "tiny_mvitv2"):
        parameters, gflops = count_parameters_and_gflops(models.config_of(name, turn_pooling=True))
        single, once = count_parameters_and_gflops(models.config_of(name))
        assert parameters == single
        assert gflops / once == pytest.approx(4, rel=1e-3)
    assert main(["models", "info", "tiny_slow", "--turn-pooling"]) == 0
    assert "gflops per turn" in capsys.readouterr().out
    data = Data(num_frames=4, stride=8, crop=64)
    assert build_model(Model("tiny_slow", overrides={"turn_pooling": True}), data, 0).config.turn_pooling
    assert "in four turns" in capsys.readouterr().err


def test_a_recipe_pools_the_turns_of_a_wrapped_encoder() -> None:
    encoder = {key: value for key, value in CONFIGS["videomae"].to_diff_dict().items() if key not in ("model_type",)}
    model = build_model(Model("videomae", overrides=encoder | {"turn_pooling": True}), Data(4, 8, crop=64), 0)
    assert model.config.turn_pooling and "turn_pooling" not in model.config.network["config"]


@pytest.mark.parametrize("value", ["yes", 4, None])
def test_another_value_is_refused(value: Any) -> None:
    with pytest.raises(ModelError, match=r"turn_pooling is .* true or false"):
        models.create("tiny_slow", turn_pooling=value)
