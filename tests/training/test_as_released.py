"""Predictions from pixels as the published runs read them: equal to the released loader, and to no other path."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from microg4m_hf import models
from microg4m_hf.cli.main import main
from microg4m_hf.data.video.released_frames import check_programs
from microg4m_hf.errors import MissingExtraError, RecipeError
from microg4m_hf.metrics.har.files import read_about
from microg4m_hf.training.build import split_items
from microg4m_hf.training.loading.batches import render_batch
from microg4m_hf.training.loading.dataset import KeyFrameWindows
from microg4m_hf.training.loading.loader import load_batches
from microg4m_hf.training.recipe import Data

cv2: Any = pytest.importorskip("cv2", reason="OpenCV is not installed")
try:
    PROGRAMS = check_programs()
except MissingExtraError as error:
    pytest.skip(str(error), allow_module_level=True)

DATA: dict[str, Any] = {
    "num_frames": 4,
    "stride": 8,
    "source": "sample",
    "eval_short_side": 96,
    "decoder": "as_released",
}


def released_input(clip: Path, folder: Path, frame: int, data: Data) -> np.ndarray:
    """What the released test loader gives to a network: (3, T, H, W), by FFmpeg and OpenCV without this library."""
    folder.mkdir()
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-r", "30", "-qscale", "1", str(folder / "%06d.jpg")]
    subprocess.run(command, check=True)
    files = sorted(folder.iterdir())
    half = data.num_frames * data.stride // 2
    out = []
    for index in range(frame - half, frame + half, data.stride):
        image = cv2.imread(str(files[min(max(index, 0), len(files) - 1)]))
        height, width = image.shape[:2]
        size = (int(width / height * data.eval_short_side), data.eval_short_side)
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
        image = image.transpose(2, 0, 1) / 255.0
        out.append((image - np.float32(0.45)) / np.float32(0.225))
    return np.stack(out, axis=1)[::-1]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_network_gets_the_pixels_of_the_released_loader(tmp_path: Path, workers: int) -> None:
    data = Data(**DATA)
    items = split_items(data, "test")[:2]
    config = models.create("tiny_slow").config
    (batch,) = load_batches(KeyFrameWindows(items, data), [[0, 1]], workers=workers, largest=2)
    clips = render_batch(batch["windows"], batch["geometries"], config)
    for number, item in enumerate(items):
        expected = released_input(Path(item.video["path"]), tmp_path / str(number), item.frame, data)
        assert np.array_equal(clips[number].numpy(), expected)


@pytest.mark.parametrize("name", ["tiny_slow", "tiny_x3d"])
def test_logits_of_both_paths(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    models.create(name, test_size=64).save_pretrained(tmp_path / "model")
    scores, about = {}, {}
    for path, words in (("ours", []), ("theirs", ["--as-released"]), ("again", ["data.decoder=as_released"])):
        run = tmp_path / path
        command = ["predict", "har", "--model", str(tmp_path / "model"), "--source", "sample", "--out", str(run)]
        assert main([*command, "--workers", "0", "--limit", "3", *words]) == 0
        file = run / "predictions" / "test.parquet"
        scores[path], about[path] = np.array(pq.read_table(file)["scores"].to_pylist()), read_about(file)
    assert about["theirs"]["pixels"] == PROGRAMS and "pixels" not in about["ours"]
    assert np.array_equal(scores["theirs"], scores["again"])
    moved = np.abs(scores["ours"] - scores["theirs"])
    assert 0 < moved.max() < 0.3 * np.ptp(scores["ours"])
    # A prediction that was begun by the other path is not continued with these pixels.
    words = ["predict", "har", "--model", str(tmp_path / "model"), "--source", "sample", "--workers", "0"]
    capsys.readouterr()
    assert main([*words, "--limit", "3", "--as-released", "--out", str(tmp_path / "ours")]) == 2
    assert "data.decoder: 'auto' -> 'as_released'" in capsys.readouterr().err


def test_what_cannot_work_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RecipeError, match=r"data\.decoder=as_released has a cache of its own; leave data\.cache out"):
        Data(**DATA, cache="windows")
    torch.manual_seed(0)
    models.create("tiny_slow").save_pretrained(tmp_path / "model")
    words = ["predict", "har", "--model", str(tmp_path / "model"), "--source", "sample", "--as-released"]
    words += ["--out", str(tmp_path / "run"), "--workers", "0"]

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "frames"))

    with monkeypatch.context() as patch:
        patch.setattr("microg4m_hf.training.loading.dataset.open_released_clip", full)
        assert main(words) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "frames: No space left on device; free some space, or set MICROG4M_HOME" in message
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(words) == 2
    assert "needs the program ffmpeg" in capsys.readouterr().err.strip().splitlines()[-1]
