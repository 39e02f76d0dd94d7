"""Models compile without graph breaks and export with any number of clips and people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from microg4m_hf import models
from microg4m_hf.models.registry import TINY
from tests.models.test_transformers_encoder import CONFIGS

# Clip, x1, y1, x2, y2: one person in the first clip, two in the second.
PEOPLE = torch.tensor([[0, 0.1, 0.2, 0.6, 0.9], [1, 0.0, 0.0, 1.0, 1.0], [1, 0.2, 0.2, 0.5, 0.5]])
MORE = torch.cat([PEOPLE, torch.tensor([[2, 0.1, 0.1, 0.9, 0.9], [2, 0.3, 0.1, 0.4, 0.9]])])


def _model(name: str) -> Any:
    torch.manual_seed(0)
    return (models.wrap(CONFIGS[name]) if name in CONFIGS else models.create(name)).eval()


def _clips(model: Any, count: int) -> torch.Tensor:
    return torch.randn(count, 3, model.config.num_frames, 64, 64, generator=torch.Generator().manual_seed(count))


def _sizes() -> dict[str, dict[int, Any]]:
    clips, people = torch.export.Dim("clips", min=1, max=64), torch.export.Dim("people", min=1, max=999)
    return {"pixel_values": {0: clips}, "boxes": {0: people}}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TINY, "videomae"])
def test_the_whole_model_compiles_into_one_graph(name: str) -> None:
    """Trace without graph breaks and run with the eager backend; generated code is not tested here."""
    model = _model(name)
    torch._dynamo.reset()  # a limit on recompilations counts those of all models
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    per_clip = [PEOPLE[PEOPLE[:, 0] == clip, 1:] for clip in (0, 1)]
    with torch.inference_mode():
        expected = model(pixel_values=_clips(model, 2), boxes=PEOPLE).logits
        for boxes in (PEOPLE, per_clip):
            assert torch.equal(compiled(pixel_values=_clips(model, 2), boxes=boxes).logits, expected)
        if name in TINY:  # an encoder of transformers takes a lock when states are first asked for
            states = compiled(pixel_values=_clips(model, 2), boxes=PEOPLE, output_hidden_states=True).hidden_states
            assert len(states) == len(model(_clips(model, 2), PEOPLE, output_hidden_states=True).hidden_states)


@pytest.mark.parametrize("name", [*TINY, "videomae"])
def test_an_exported_model_takes_any_number_of_clips_and_people(name: str) -> None:
    model = _model(name)
    inputs = {"pixel_values": _clips(model, 2), "boxes": PEOPLE}
    exported = torch.export.export(model, (), inputs, dynamic_shapes=_sizes()).module()
    with torch.inference_mode():
        for count, boxes in ((3, MORE), (1, PEOPLE[:1])):
            expected = model(pixel_values=_clips(model, count), boxes=boxes)
            actual = exported(pixel_values=_clips(model, count), boxes=boxes)
            assert torch.allclose(actual.logits, expected.logits, atol=1e-6)
            assert torch.equal(actual.clip_index, boxes[:, 0].long())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny_slowfast", "tiny_mvitv2"])
def test_onnxruntime_computes_the_same(name: str, tmp_path: Path) -> None:
    """The largest difference of logits was 1e-6 over all families, where they reach 1.7."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, path = _model(name), tmp_path / "model.onnx"
    inputs = {"pixel_values": _clips(model, 2), "boxes": PEOPLE}
    names = ["logits", "clip_index"]
    how = {"dynamo": True, "output_names": names, "verbose": False}
    torch.onnx.export(model, (), path, kwargs=inputs, dynamic_shapes=_sizes(), **how)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count, boxes in ((2, PEOPLE), (3, MORE), (1, PEOPLE[:1])):
        clips = _clips(model, count)
        with torch.inference_mode():
            expected = model(pixel_values=clips, boxes=boxes).logits.numpy()
        logits, clip = session.run(None, {"pixel_values": clips.numpy(), "boxes": boxes.numpy()})
        assert np.abs(logits - expected).max() < 1e-5
        assert clip.tolist() == boxes[:, 0].int().tolist()
