"""Other loops: the example with ``transformers.Trainer`` runs and scores every box."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf import training
from microg4m_hf.metrics import har_scores
from microg4m_hf.training.predict import prediction_columns, reference_columns

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "har_with_trainer.py"


@pytest.mark.cpu
def test_the_example(tmp_path: Path) -> None:
    """Its scores equal those of the saved model."""
    from accelerate import Accelerator

    from microg4m_hf.models import MicroG4MHarForVideoClassification
    from microg4m_hf.training import Data, KeyFrameWindows, predict_logits, split_items

    spec = importlib.util.spec_from_file_location("har_with_trainer", EXAMPLE)
    assert spec
    assert spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    scores = example.main(["--out", str(tmp_path), "--crop", "48", "--batch", "3"])

    data = Data(num_frames=4, stride=8, source="sample", key_frame="exact", crop=48, eval_short_side=48)
    items = split_items(data, "validation")
    model = MicroG4MHarForVideoClassification.from_pretrained(tmp_path)
    logits = predict_logits(Accelerator(cpu=True), model, KeyFrameWindows(items, data, center_crop=True))
    assert any(len(item.boxes) > 1 for item in items)
    expected = har_scores(prediction_columns(items, logits), reference_columns(items), protocol="paper")["scores"]
    assert scores["eval_map"] == pytest.approx(expected["map"], abs=1e-4)


def test_epochs_have_their_own_augmentation() -> None:
    from microg4m_hf.training import Data, KeyFrameWindows, split_items

    data = Data(num_frames=2, stride=4, source="sample", short_side=(64, 96), crop=48)
    windows = KeyFrameWindows(split_items(data, "train"), data, training=True)
    drawn = []
    for epoch in (0, 1, 0):
        windows.set_epoch(epoch)
        drawn.append(windows[3].geometry)
    assert drawn[0] == drawn[2] != drawn[1] == windows[1, 3].geometry
    assert np.isfinite(windows[3].boxes).all()


@pytest.mark.parametrize("name", training.__all__)
def test_public_names(name: str) -> None:
    assert getattr(training, name).__module__.startswith("microg4m_hf.training")
