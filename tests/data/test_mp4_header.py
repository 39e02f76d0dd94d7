"""The size in an mp4 header is read right, and no damaged or hostile file does more than give an error."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from microg4m_hf.data.release.clip_files import check_clip_files, clip_path
from microg4m_hf.data.release.faults import ErrorPolicy
from microg4m_hf.data.release.layout import find_layout
from microg4m_hf.data.release.release import read_release
from microg4m_hf.data.video.probe import read_frame_size
from microg4m_hf.errors import ClipError, DataError
from tests.support.fake_release import FakeRelease, make_release
from tests.support.tiny_mp4 import mp4_bytes, write_mp4


@pytest.mark.parametrize("size", [(854, 480), (64, 48), (480, 854)])
def test_size_equals_the_decoders(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "clip.mp4"
    write_mp4(path, *size)
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert read_frame_size(path) == (stream.width, stream.height) == size


def test_a_quarter_turn_swaps_the_sides(tmp_path: Path) -> None:
    data = bytearray(mp4_bytes(64, 48))
    matrix = data.index(b"tkhd") + 4 + 40
    one, minus = (1 << 16).to_bytes(4, "big"), (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big")
    data[matrix : matrix + 20] = bytes(4) + one + bytes(4) + minus + bytes(4)
    (tmp_path / "turned.mp4").write_bytes(data)
    assert read_frame_size(tmp_path / "turned.mp4") == (48, 64)


def test_cut_anywhere_it_gives_an_error(tmp_path: Path) -> None:
    data, path = mp4_bytes(64, 48), tmp_path / "cut.mp4"
    for length in [*range(0, len(data) - 1, 37), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ClipError, match=r"cut\.mp4: "):
            read_frame_size(path)


def test_flipped_bytes_never_do_more_than_an_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data, path = mp4_bytes(64, 48), tmp_path / "bent.mp4"
    for _ in range(300):
        bent = bytearray(data)
        for place in rng.integers(0, len(data), 8).tolist():
            bent[place] = int(rng.integers(0, 256))
        path.write_bytes(bent)
        try:
            width, height = read_frame_size(path)
        except ClipError:
            continue
        assert 0 < width < 1 << 16 and 0 < height < 1 << 16


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\0" * 4096,
        b"RIFF....AVI " + b"\0" * 100,
        b"\0\0\0\x01ftyp" + (1 << 62).to_bytes(8, "big"),
        (b"\0\0\0\x08free") * 5000,  # boxes without end
        b"\0\0\0\x10ftypisom\0\0\0\0" + b"\x7f\xff\xff\xffmoov",
    ],
)
def test_junk_gives_an_error(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "junk.mp4").write_bytes(junk)
    with pytest.raises(ClipError, match=r"junk\.mp4: "):
        read_frame_size(tmp_path / "junk.mp4")


@pytest.fixture()
def filmed(tmp_path: Path) -> FakeRelease:
    truth = make_release(tmp_path / "release", sources=3, clips=3, sizes=((64, 48),))
    for video_id, clip in truth.clips.items():
        write_mp4(_path(truth, video_id), *clip.size)
    return truth


def _path(truth: FakeRelease, video_id: str) -> Path:
    return clip_path(truth.root / "videos", truth.clips[video_id].domain, truth.source_of[video_id], video_id)


def test_whole_clips_are_no_fault(filmed: FakeRelease) -> None:
    release = read_release(filmed.root, need={"har", "videos"})
    assert release.counts["faults"] == 0
    first = next(iter(filmed.clips))
    assert release.video_path(first) == _path(filmed, first).resolve()


def _missing(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def _text(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link_outside(path: Path) -> None:
    outside = path.parents[4] / "outside.mp4"
    path.rename(outside)
    path.symlink_to(outside)


def _linked_folder(path: Path) -> None:
    outside = path.parents[4] / "outside"
    path.parent.rename(outside)
    path.parent.symlink_to(outside)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_missing, "the clip is missing"),
        (_empty, "does not begin like an mp4 file"),
        (_cut, "cut short|no index"),
        (_text, "does not begin like an mp4 file"),
        (_folder, "the clip is missing"),
        (_pipe, "the clip is missing"),
        (_link_outside, "leads out of the folder"),
        (_linked_folder, "leads out of the folder"),
    ],
)
def test_a_clip_that_is_not_there_is_refused_or_left_out_whole(filmed: FakeRelease, damage, reason: str) -> None:
    victim = next(iter(filmed.clips))
    damage(_path(filmed, victim))
    with pytest.raises(DataError, match=reason) as raised:
        read_release(filmed.root, need={"har", "videos"})
    assert victim in str(raised.value)
    release = read_release(filmed.root, need={"har", "videos", "vqa"}, on_error="skip")
    lost = {problem.value for problem in release.problems}
    assert victim in lost and release.counts["clips_left_out"] == release.counts["faults"] == len(lost)
    rest = set(filmed.clips) - lost
    assert set(release.clips["video_id"].to_pylist()) == rest
    for table in (release.labels, release.key_frames, release.boxes, release.frame_sizes):
        assert set(table["video_id"].to_pylist()) == rest
    for table in (release.captions, release.questions):
        assert set(table["video_id"].to_pylist()) <= rest
    assert read_release(filmed.root, need={"har"}).counts["faults"] == 0  # without clips nothing is wrong


def test_a_link_inside_the_release_is_followed(filmed: FakeRelease) -> None:
    path = _path(filmed, next(iter(filmed.clips)))
    path.rename(filmed.root / "elsewhere.mp4")
    path.symlink_to(filmed.root / "elsewhere.mp4")
    assert read_release(filmed.root, need={"har", "videos"}).counts["faults"] == 0


def test_the_mask_says_which_clip(filmed: FakeRelease) -> None:
    release = read_release(filmed.root)
    victim = release.clips["video_id"][4].as_py()
    _path(filmed, victim).unlink()
    left_out = check_clip_files(find_layout(filmed.root), release.clips, ErrorPolicy("skip"))
    assert np.flatnonzero(left_out).tolist() == [4]
