"""A release as it is downloaded, with its clips in ``videos.zip``, and what a check finds inside the clips."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from microg4m_hf import load_dataset
from microg4m_hf.cli.main import main
from microg4m_hf.data import ensure_sample, open_clip
from microg4m_hf.data.check import check
from microg4m_hf.data.check_clips import decode_clips
from microg4m_hf.data.release.layout import find_layout
from microg4m_hf.errors import SourceError


@pytest.fixture
def downloaded(tmp_path: Path) -> Path:
    """The sample as the authors' files are downloaded: annotations and ``videos.zip``."""
    folder = tmp_path / "downloaded"
    shutil.copytree(ensure_sample(), folder)
    with zipfile.ZipFile(folder / "videos.zip", "w") as archive:
        for path in sorted((folder / "videos").rglob("*.mp4")):
            archive.write(path, path.relative_to(folder))
    shutil.rmtree(folder / "videos")
    return folder


def test_a_check_sees_the_archive_and_loading_unpacks_it_once(
    downloaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = check(downloaded)
    assert report["faults"] == 0
    assert any("videos.zip with 50 clips is not unpacked" in note for note in report["notes"]), report["notes"]
    assert not any("no videos" in note for note in report["notes"])
    assert not (downloaded / "videos").exists()

    rows = load_dataset("har", split="test", data_dir=downloaded)
    with open_clip(rows[0]["video"]) as clip:  # type: ignore[index,call-overload]
        assert clip.frames([0]).shape[0] == 1
    (downloaded / "videos.zip").unlink()
    assert len(load_dataset("har", split="test", data_dir=downloaded)) == len(rows)
    assert main(["data", "unpack", "--data-dir", str(downloaded)]) == 0
    assert capsys.readouterr().out.startswith("50 clips (")


def test_clips_that_the_archive_lacks_are_faults(downloaded: Path) -> None:
    with zipfile.ZipFile(downloaded / "videos.zip") as archive:
        kept = {name: archive.read(name) for name in archive.namelist()[1:]}
        lost = Path(archive.namelist()[0]).stem
    with zipfile.ZipFile(downloaded / "videos.zip", "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
    report = check(downloaded)
    assert [problem["text"] for problem in report["problems"]] == [
        f"videos.zip: the clip is missing in the archive: '{lost}'"
    ]


def test_a_damaged_archive_is_one_fault_among_the_others(downloaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = downloaded / "videos.zip"
    archive.write_bytes(archive.read_bytes()[:-200])
    with open(next(downloaded.rglob("actions.csv")), "a") as actions:
        actions.write("No_001,r,1,999\n")
    assert main(["data", "check", "--data-dir", str(downloaded)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("videos.zip: the archive is damaged (") for line in lines) == 1
    assert any("actions.csv, line" in line and "999" in line for line in lines)
    assert lines[-1].endswith(": 2 faults")


def test_a_folder_that_cannot_be_written_is_named_with_the_command(downloaded: Path, tmp_path: Path) -> None:
    """Root may write anywhere, so the load runs as another user where the tests run as root."""
    downloaded.chmod(0o555)
    new = tmp_path / "whole"
    code = (
        "import os, sys\n"
        "from microg4m_hf.data.unpack import unpack_release\n"
        "from pathlib import Path\n"
        "if os.getuid() == 0: os.access = lambda path, mode: mode != os.W_OK\n"
        "unpack_release(Path(sys.argv[1]))"
    )
    failed = subprocess.run([sys.executable, "-c", code, str(downloaded)], capture_output=True, text=True)
    assert failed.returncode == 1
    assert f"microg4m data unpack --data-dir {downloaded} --out NEW_FOLDER" in failed.stderr
    assert main(["data", "unpack", "--data-dir", str(downloaded), "--out", str(new)]) == 0
    assert check(new)["faults"] == 0
    assert find_layout(new).actions is not None
    assert len(list((new / "videos").rglob("*.mp4"))) == 50
    downloaded.chmod(0o755)


def test_a_folder_without_clips_and_archive_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "unpack", "--data-dir", str(tmp_path)]) == 2
    assert "contains no videos.zip" in capsys.readouterr().err
    with pytest.raises(SourceError, match=r"unpack videos\.zip with `microg4m data unpack --data-dir"):
        (tmp_path / "videos.zip").write_bytes(b"")
        find_layout(tmp_path).require("videos")


@pytest.fixture
def odd(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The sample with a clip of 20 frames, shorter than its boxes, and one whose frames are damaged."""
    from tests.support.videos import write_video

    folder = tmp_path / "odd"
    shutil.copytree(ensure_sample(), folder)
    short, damaged = sorted((folder / "videos").rglob("*.mp4"))[:2]
    with open_clip(short) as clip:
        size = (clip.height, clip.width)
    write_video(short, count=20, size=size)
    content = bytearray(damaged.read_bytes())
    start = content.find(b"mdat") + 4
    content[start : len(content) // 2] = b"\xff" * (len(content) // 2 - start)
    damaged.write_bytes(content)
    return folder, short, damaged


def test_a_check_looks_into_the_clips(odd: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder, short, damaged = odd
    report = check(folder)
    texts = [problem["text"] for problem in report["problems"]]
    assert len(texts) == 1
    assert short.name in texts[0]
    assert "the clip has 20 frames, its last box is in frame: 90" in texts[0]
    kinds = next(note for note in report["notes"] if note.startswith("clips: "))
    assert "49 h264 " in kinds
    assert "20 frames" in kinds

    assert main(["data", "check", "--data-dir", str(folder), "--decode", "--workers", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(damaged.name in line and "cannot be decoded" in line for line in lines) == 1
    assert "note: all frames of 50 clips were decoded" in lines


def test_a_clip_that_ends_or_blocks_its_decoder_is_one_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from microg4m_hf.data import check_clips

    clips = sorted((ensure_sample() / "videos").rglob("*.mp4"))[:2]
    real = check_clips._start
    started: list[int] = []

    def start() -> subprocess.Popen[str]:
        """The first process ends at once, the second one never answers."""
        started.append(1)
        monkeypatch.setattr(check_clips, "CLIP_SECONDS", 2 if len(started) == 2 else 300)
        codes = {1: "import os; os.abort()", 2: "import time; time.sleep(3600)"}
        if len(started) not in codes:
            return real()
        command = [sys.executable, "-c", codes[len(started)]]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=-3, text=True)

    monkeypatch.setattr(check_clips, "_start", start)
    first, second, *_ = decode_clips([clips[0], clips[1]], workers=1)
    assert "the decoder ended with -6" in first["error"]
    assert "the decoder ended with -9" in second["error"]
    assert list(decode_clips(clips, workers=1)) == [{"frames": 90, "expected": 90}] * 2


def test_a_decoder_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from microg4m_hf.data import check_clips

    def start() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    clips = sorted((ensure_sample() / "videos").rglob("*.mp4"))[:3]

    monkeypatch.setattr(check_clips, "_start", start)
    with pytest.raises(OSError, match="Too many open files"):
        list(decode_clips(clips, workers=2))
