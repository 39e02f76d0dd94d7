"""``microg4m demo`` and ``microg4m data sample`` run, and the lines that they print can be repeated."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from microg4m_hf.cli.main import main

PROJECT = Path(__file__).resolve().parents[2]


def test_demo_runs_and_its_python_lines_can_be_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--look-only", "--out", str(out)]) == 0
    output = capsys.readouterr().out
    for words in ("har: train 35 rows", "caption: test 30 rows", "vqa: test 180 rows", "hand wave", str(out)):
        assert words in output
    picture = out / "contact_sheet.png"
    first = picture.read_bytes()
    with Image.open(picture) as page:
        assert page.width > 1500
    lines = re.findall(r"^  >>> (.*)$", output, flags=re.MULTILINE)
    assert len(lines) >= 6
    names: dict[str, object] = {}
    for line in lines:
        exec(line, names)
    assert names["vqa"]["test"].num_rows == 180
    assert picture.read_bytes()[:8] == first[:8]


def test_demo_checks_its_options_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--steps", "0"]) == 2
    assert "needs at least 1" in capsys.readouterr().err
    (out / "tiny_vlm").mkdir(parents=True)
    (out / "tiny_vlm" / "training.json").write_text('{"steps": 3, "practice": 0}')
    assert main(["demo", "--out", str(out)]) == 2  # before the training of the network
    printed = capsys.readouterr()
    assert "contains a demo with other --steps" in printed.err and "[1/" not in printed.out


def test_data_sample_prints_its_folder_and_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import microg4m_hf.data.sample as sample

    full = sample.make_sample
    monkeypatch.setattr(sample, "make_sample", lambda folder, **kind: full(folder, height=48, clips=2, **kind))
    target = tmp_path / "here"
    assert main(["data", "sample", "--out", str(target)]) == 0
    assert "2 clips" in capsys.readouterr().out
    assert len(list(target.glob("videos/*/*/*.mp4"))) == 2
    assert main(["data", "sample", "--out", str(target)]) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("modification", "message"),
    [
        ("sys.version_info = (3, 9, 2)", "is Python 3.9 and 3.11 or newer is needed"),
        ("sys.modules['ensurepip'] = None", "apt install python3-venv"),
        (None, "install Python 3.11 or newer"),
    ],
)
def test_make_names_what_python_lacks(modification: str | None, message: str, tmp_path: Path) -> None:
    python = tmp_path / "python3"
    if modification is not None:  # the real interpreter, modified before it runs the check of make
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; {modification}; exec(sys.argv[2])" "$@"\n')
        python.chmod(0o755)
    venv = tmp_path / "venv"
    ran = subprocess.run(
        ["make", "demo", f"PYTHON={python}", f"VENV={venv}"], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode != 0
    assert message in ran.stderr
    assert not venv.exists()
