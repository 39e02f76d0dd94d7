"""Frames as the published runs read them: equal to FFmpeg and OpenCV by hand, extracted once, and safe."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.data import open_clip
from microg4m_hf.data.video import released_frames
from microg4m_hf.data.video.released_frames import check_programs, open_released_clip, resize_as_released
from microg4m_hf.errors import ClipError, MissingExtraError
from tests.support.videos import write_video

cv2: Any = pytest.importorskip("cv2", reason="OpenCV is not installed")
FFMPEG = shutil.which("ffmpeg")
pytestmark = pytest.mark.skipif(FFMPEG is None, reason="the program ffmpeg is not installed")

# Writes a line for every clip into $CALLS and, while $STUCK exists, never ends.
_WRAPPER = f"""#!/bin/sh
case "$1" in -version) exec {FFMPEG} "$@";; esac
echo run >> "$CALLS"
while [ -e "$STUCK" ]; do sleep 0.05; done
exec {FFMPEG} "$@"
"""
_OPEN = (
    "import sys; from microg4m_hf.data.video.released_frames import open_released_clip as o; print(len(o(sys.argv[1])))"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "frames"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of the runs of FFmpeg."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ffmpeg").write_text(_WRAPPER)
    (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("STUCK", str(tmp_path / "stuck"))
    return tmp_path / "calls"


def by_hand(clip: Path, folder: Path) -> np.ndarray:
    """Run the command of the release and read its images, BGR."""
    folder.mkdir()
    pattern = str(folder / "clip_%06d.jpg")
    subprocess.run([str(FFMPEG), "-v", "error", "-i", str(clip), "-r", "30", "-qscale", "1", pattern], check=True)
    files = [np.frombuffer(path.read_bytes(), np.uint8) for path in sorted(folder.iterdir())]
    return np.stack([cv2.imdecode(file, cv2.IMREAD_COLOR) for file in files])


@pytest.mark.parametrize("rate", [30, 25, 60])
def test_images_are_those_of_the_released_command(tmp_path: Path, rate: int) -> None:
    path = write_video(tmp_path / "a b%d.mp4", count=24, size=(96, 170), fps=rate, tags={"colorspace": 5})
    expected = by_hand(path, tmp_path / "by hand")
    assert (len(expected) == 24) == (rate == 30)  # frames are repeated or left out
    wanted = [5, 0, 5, len(expected) - 1]
    for clip in (path, {"bytes": path.read_bytes(), "path": None}):
        released = open_released_clip(clip)
        assert len(released) == len(expected)
        frames = released.frames(wanted)
        assert np.array_equal(frames[..., ::-1], expected[wanted])
    small = np.stack([cv2.resize(one, (85, 48), interpolation=cv2.INTER_LINEAR) for one in expected[wanted]])
    assert np.array_equal(resize_as_released(frames, 48, 85)[..., ::-1], small)
    if rate == 30:
        with open_clip(path) as decoded:
            assert not np.array_equal(decoded.frames(wanted), frames)  # what the comparison of both paths is about


def test_four_processes_extract_a_clip_once(tmp_path: Path, calls: Path, own_cache: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", count=9)
    Path(os.environ["STUCK"]).touch()
    words = [sys.executable, "-c", _OPEN, str(path)]
    children = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    while not calls.is_file():
        time.sleep(0.02)
    Path(os.environ["STUCK"]).unlink()
    assert [child.communicate()[0] for child in children] == ["9\n"] * 4
    assert calls.read_text() == "run\n"
    assert [file.suffix for file in own_cache.rglob("*") if file.is_file()] == [".zip"]


def test_a_kill_leaves_nothing_that_is_used(tmp_path: Path, calls: Path, own_cache: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", count=9)
    Path(os.environ["STUCK"]).touch()
    child = subprocess.Popen([sys.executable, "-c", _OPEN, str(path)], start_new_session=True)
    while not calls.is_file():
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)  # with FFmpeg, which would go on writing while its folder is removed
    child.wait()
    assert list(own_cache.rglob("*.part")) and not list(own_cache.rglob("*.zip"))
    Path(os.environ["STUCK"]).unlink()
    assert len(open_released_clip(path)) == 9
    assert not list(own_cache.rglob("*.part"))


def test_a_damaged_or_removed_file_of_the_cache_is_made_again(tmp_path: Path, calls: Path, own_cache: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", count=9)
    clip = open_released_clip(path)
    frames = clip.frames([3])
    (archive,) = own_cache.rglob("*.zip")
    with zipfile.ZipFile(archive) as zipped:
        begin = zipped.getinfo("clip_000004.jpg").header_offset + 200
    content = bytearray(archive.read_bytes())
    content[begin] ^= 255
    for damage in (bytes(content), b"", None):
        archive.unlink()
        if damage is not None:
            archive.write_bytes(damage)
        assert np.array_equal(clip.frames([3]), frames)
        assert np.array_equal(open_released_clip(path).frames([3]), frames)
    assert calls.read_text() == "run\n" * 4


def test_a_full_cache_is_not_an_error(tmp_path: Path, own_cache: Path) -> None:
    paths = [write_video(tmp_path / f"{fps}.mp4", count=9, fps=fps) for fps in (30, 15)]
    frames = [open_released_clip(path).frames([0]) for path in paths]
    limit = max(file.stat().st_size for file in own_cache.rglob("*.zip")) / 1e9
    shutil.rmtree(own_cache)
    again = [open_released_clip(path, limit_gb=limit).frames([0]) for path in paths]
    assert all(np.array_equal(*pair) for pair in zip(frames, again, strict=True))
    assert [file.name[:3] for file in own_cache.rglob("*.zip")] == ["30-"]


@pytest.mark.parametrize("kind", ["flipped", "cut", "long", "text"])
def test_clips_that_cannot_be_right_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path, kind: str
) -> None:
    path = write_video(tmp_path / "clip.mp4", count=40, size=(96, 128))
    if kind == "flipped":
        content = bytearray(path.read_bytes())
        begin = content.index(b"mdat") + 600
        content[begin : begin + 300] = bytes(300)
        path.write_bytes(content)
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-2000])
    elif kind == "text":
        path.write_text("#EXTM3U\nfile:///etc/passwd\n")
    else:
        monkeypatch.setattr(released_frames, "_MAX_IMAGES", 39)
    with pytest.raises(ClipError, match=r"clip\.mp4: ") as caught:
        open_released_clip(path)
    assert "\n" not in str(caught.value)
    assert not [file for file in own_cache.rglob("*") if file.is_file()]


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_programs() == f"FFmpeg {released_frames._ffmpeg()[1]}, OpenCV {cv2.__version__}"
    other = tmp_path / "bin" / "ffmpeg"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 3\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    with pytest.raises(MissingExtraError, match="is not FFmpeg or does not run"):
        check_programs()
    other.unlink()
    with pytest.raises(MissingExtraError, match=r"needs the program ffmpeg, .*apt-get install ffmpeg"):
        check_programs()
    monkeypatch.undo()
    released_frames.load_opencv.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"needs the package cv2, .*pip install 'microg4m-hf\[opencv\]'"):
        check_programs()


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "clip.mp4", count=9)
    wrapper = tmp_path / "bin" / "ffmpeg"
    wrapper.parent.mkdir()
    # FFmpeg writes to a device that is always full.
    wrapper.write_text(
        f'#!/bin/sh\ncase "$1" in -version) exec {FFMPEG} "$@";; esac\n'
        'for last; do :; done\nfolder=$(dirname "${last#file:}")\nln -s /dev/full "$folder/clip_000001.jpg"\n'
        f'exec {FFMPEG} -y "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    with pytest.raises(OSError, match="No space left on device"):
        open_released_clip(path)
