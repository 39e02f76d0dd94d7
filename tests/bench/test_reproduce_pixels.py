"""``microg4m reproduce har --as-released``: both ways to read clips are predicted, compared, and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data.video.released_frames import check_programs
from microg4m_hf.errors import MissingExtraError
from tests.support import small_weights

try:
    PROGRAMS = check_programs()
except MissingExtraError as error:
    pytest.skip(str(error), allow_module_level=True)

ROWS = ("i3d_8x8_r50", "x3d_s")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the weights of two small networks, whose logits depend on the pixels."""
    small_weights.shrink_published(monkeypatch)
    for name in ROWS:
        path = tmp_path / "weights" / small_weights.LAYOUT[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(small_weights.pyth(small_weights.small_state(name)))
    monkeypatch.setenv("MICROG4M_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def reproduce(out: Path, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    code = main(["reproduce", "har", *ROWS, "--source", "sample", "--workers", "0", "--out", str(out), *words])
    rows = json.loads((out / "reproduce.json").read_text())["kinds"]["har"]["rows"]
    return code, {row["name"]: row for row in rows}


def scores_of(run: Path) -> np.ndarray:
    return np.array(pq.read_table(run / "predictions" / "test.parquet")["scores"].to_pylist())


def test_both_paths_are_compared(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    code, rows = reproduce(out)
    assert code == 1
    printed = capsys.readouterr().out
    assert f"and JPEG frames of {PROGRAMS}; --as-released takes the latter" in printed
    measured = {name: rows[name]["pixels"] for name in ROWS}

    code, rows = reproduce(out, "--as-released")
    assert code == 1
    printed = capsys.readouterr().out
    for name in ROWS:
        decoded, released = (scores_of(folder) for folder in (out / name, out / name / "as_released"))
        size = np.abs(decoded - released)
        pixels = rows[name]["pixels"]
        assert pixels["programs"] == PROGRAMS and pixels["boxes"] == len(size)
        expected = [size.mean(), np.sqrt(np.mean(size**2)), size.max()]
        assert [pixels[key] for key in ("mean", "rms", "largest")] == pytest.approx(expected, rel=1e-5)
        assert 0 < measured[name]["boxes"] <= len(size) and 0 < measured[name]["largest"] <= size.max() * 1.001
        results = [json.loads((run / "results.json").read_text()) for run in (out / name, out / name / "as_released")]
        one, two = (100 * result["test"]["scores"]["map"] for result in results)
        judged = rows[name]["scores"]["map"]["value"]
        # The row counts one key frame twice, as the published test did.
        assert [100 * pixels["decoded_scores"]["map"], judged] == pytest.approx([one, two], abs=3)
        assert rows[name]["predictions"].endswith(f"{name}/as_released/predictions/test.parquet")
        moved = f"{expected[0]:.4f} on average, {expected[1]:.4f} (RMS), {expected[2]:.4f} at most ({len(size)} boxes)"
        from_to = f"the mAP moves from {100 * pixels['decoded_scores']['map']:.2f} to {judged:.2f}"
        assert moved in printed and from_to in printed
    assert "which is judged; the weights or the metric make the rest" in printed
    assert "at most" in (out / "report" / "report.html").read_text()


def test_without_the_programs(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["reproduce", "har", ROWS[1], "--source", "sample", "--workers", "0", "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "which was not measured (data.decoder=as_released needs the program ffmpeg" in capsys.readouterr().out
    assert main([*words, "--as-released"]) == 2
    assert "needs the program ffmpeg" in capsys.readouterr().err.strip().splitlines()[-1]
    assert main([*words, "--as-released", "--predictions", str(tmp_path / "out" / ROWS[1])]) == 2
    assert "--predictions runs no model" in capsys.readouterr().err
