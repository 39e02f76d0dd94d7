"""A saved model that is not whole is refused, as a PySlowFast checkpoint is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from microg4m_hf.cli.main import main
from microg4m_hf.errors import CheckpointError
from microg4m_hf.models import create, load_saved

HEAD = "head.projection.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    create("tiny_slow").save_pretrained(folder)
    return folder


def _changed(whole: Path, target: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    weights = load_file(whole / "model.safetensors")
    change(weights)
    target.mkdir()
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    (target / "config.json").write_bytes((whole / "config.json").read_bytes())
    return target


def _drop_half(weights: dict[str, Any]) -> None:
    for name in sorted(weights)[::2]:
        del weights[name]


CHANGES = [
    pytest.param(lambda weights: weights.pop(HEAD), f"1 missing: {HEAD}", id="no head"),
    pytest.param(_drop_half, r"\d+ missing", id="half"),
    pytest.param(lambda weights: weights.update({HEAD: np.zeros((3, 2), np.float32)}), "1 mismatched", id="shape"),
    pytest.param(lambda weights: weights.update({"other": np.zeros(1)}), "1 unexpected: other", id="extra"),
]


@pytest.mark.parametrize(("change", "says"), CHANGES)
def test_half_a_model_is_refused(
    whole: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    half = _changed(whole, tmp_path / "half", change)
    with pytest.raises(CheckpointError, match=says):
        load_saved(half)
    assert load_saved(half, partial=True) is not None
    capsys.readouterr()
    words = ["predict", "har", "--model", str(half), "--source", "sample", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "does not fit its own configuration" in capsys.readouterr().err
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize("content", [b"", b"junk" * 100])
def test_a_damaged_file_is_refused_in_one_line(whole: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes((whole / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot be loaded as a model \(") as caught:
        load_saved(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_whole_model_is_loaded_with_its_settings(whole: Path) -> None:
    assert not load_saved(whole).training
    frames = json.loads((whole / "config.json").read_text())["num_frames"]
    assert load_saved(whole, num_frames=2 * frames).config.num_frames == 2 * frames
