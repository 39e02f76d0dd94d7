"""Convert JHMDB to AVA's format, and measure the gap from it to the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microg4m_hf.cli.main import main
from microg4m_hf.errors import DataError
from microg4m_hf.training.ava_folder import ava_items, ava_references
from microg4m_hf.training.jhmdb import AVA_ID, convert

scipy_io = pytest.importorskip("scipy.io")


@pytest.fixture
def jhmdb(tmp_path: Path) -> Path:
    """Clips of walk with outlines, one of sit with joints only, and one of pour. The other classes are empty."""
    root = tmp_path / "jhmdb"
    (root / "splits").mkdir(parents=True)
    for name in AVA_ID:
        (root / "splits" / f"{name}_test_split1.txt").write_text("")
    for name, clip, code in [
        ("walk", "w1", 2),
        ("walk", "w2", 2),
        ("walk", "w3", 1),
        ("sit", "s1", 2),
        ("pour", "p", 2),
    ]:
        with (root / "splits" / f"{name}_test_split1.txt").open("a") as file:
            file.write(f"{clip}.avi {code} \n")
        folder = root / "Rename_Images" / name / clip
        folder.mkdir(parents=True)
        rng = np.random.default_rng(len(clip))
        for number in range(1, 13):
            Image.fromarray(rng.integers(0, 255, (49, 64, 3), np.uint8)).save(folder / f"{number:05d}.png")
        if name == "sit":
            joints = np.zeros((2, 15, 12))
            joints[0], joints[1] = np.linspace(20, 40, 15)[:, None], np.linspace(10, 30, 15)[:, None]
            (root / "joint_positions" / name / clip).mkdir(parents=True)
            scipy_io.savemat(root / "joint_positions" / name / clip / "joint_positions.mat", {"pos_img": joints})
        else:
            mask = np.zeros((49, 64, 12), np.uint8)
            mask[7:28, 16:32, 6] = 1
            (root / "puppet_mask" / name / clip).mkdir(parents=True)
            scipy_io.savemat(root / "puppet_mask" / name / clip / "puppet_mask.mat", {"part_mask": mask})
    return root


def test_jhmdb(jhmdb: Path, tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(jhmdb, tmp_path / "ava") == 3
    items = ava_items(tmp_path / "ava")
    assert [(item.video_id, item.frame) for item in items] == [("s1", 7), ("w1", 7), ("w2", 7)]
    assert items[0].boxes[0] == pytest.approx([18 / 64, 8 / 49, 42 / 64, 32 / 49], abs=1e-3)
    assert items[1].boxes[0] == pytest.approx([16 / 64, 7 / 49, 32 / 64, 28 / 49], abs=1e-3)
    assert [ids.tolist() for ids in ava_references(items)["action_ids"]] == [[11], [14], [14]]

    words = ["predict", "har", "--model", str(finished), "--ava-format", str(tmp_path / "ava")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "results.json").read_text())
    shared = [
        key
        for key in result["earth"]["per_class"]
        if None not in (result["earth"]["per_class"][key]["ap"], result["test"]["per_class"][key]["ap"])
    ]
    assert result["gap"]["classes"] == len(shared)
    assert (tmp_path / "out" / "predictions" / "earth.parquet").is_file()
    assert "on Earth" in capsys.readouterr().out or not shared


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("w1,7,0,0,1", "x1 < x2"),
        ("w1,seven,0,0,1,1,14,1", "write rows of clip, frame"),
        ("w1,7,0.5,0,0.5,1,14,1", "x1 < x2"),
        ("w1,0,0,0,1,1,14,1", "count frames from 1"),
        ("w1,7,0,0,1,1,81,1", "the ids of AVA, 1 to 80"),
        ("../w1,7,0,0,1,1,14,1", "no such clip"),
        ("w1,7,nan,0,1,1,14,1", "x1 < x2"),
    ],
)
def test_invalid_rows(tmp_path: Path, row: str, says: str) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "w1.mp4").write_bytes(b"")
    (tmp_path / "annotations.csv").write_text(f"{row}\n")
    with pytest.raises(DataError, match=says):
        ava_items(tmp_path)


def test_invalid_matlab_file(jhmdb: Path, tmp_path: Path) -> None:
    (jhmdb / "puppet_mask" / "walk" / "w1" / "puppet_mask.mat").write_bytes(b"not a MATLAB file" * 30)
    with pytest.raises(DataError, match="not a MATLAB file"):
        convert(jhmdb, tmp_path / "ava")
    assert not (tmp_path / "ava").exists()
