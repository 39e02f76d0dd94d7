"""A clip returns the requested frames in the requested order, from every kind of source."""

from __future__ import annotations

import gc
import os
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.data import every, open_clip, read_frames, uniform, window
from microg4m_hf.errors import ClipError
from tests.support.videos import pictures, write_video


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "Apollo13_032.mp4", count=40, crf=1)


@pytest.fixture(scope="module")
def whole(path: Path) -> np.ndarray:
    return read_frames(path, every)


def test_length_rate_and_size(path: Path) -> None:
    with open_clip(path) as clip:
        assert (len(clip), clip.fps, clip.height, clip.width) == (40, 30.0, 48, 64)
        assert clip.backend == "pyav"
        assert "40 frames 64×48" in repr(clip)
        np.testing.assert_allclose(clip.times(), np.arange(40) / 30, atol=1e-6)
        np.testing.assert_allclose(clip.times([3, 1]), [0.1, 1 / 30], atol=1e-6)


def test_frames_equal_the_encoded_ones(whole: np.ndarray) -> None:
    made = pictures(40).astype(int)
    assert whole.shape == (40, 48, 64, 3) and whole.dtype == np.uint8
    distance = np.abs(whole[:, None].astype(int) - made[None]).mean((2, 3, 4))
    assert (distance.argmin(1) == np.arange(40)).all()  # each is nearest to its own picture
    assert distance.diagonal().max() < 14  # 4:2:0 loses color detail, not more


@pytest.mark.parametrize(
    "indices",
    [[0], [39], [39, 0], [5, 5, 5], [20, 3, 20, 39, 0], range(40), range(39, -1, -1), np.array([7, 2]), (1,)],
    ids=str,
)
def test_order_and_repeats_are_kept(path: Path, whole: np.ndarray, indices) -> None:
    with open_clip(path) as clip:
        np.testing.assert_array_equal(clip.frames(indices), whole[np.asarray(indices)])


def test_a_stream_has_the_frames_one_by_one(path: Path, whole: np.ndarray) -> None:
    clip = open_clip(path)
    seen = [(id(frame), frame.copy()) for frame in clip.stream([2, 2, 2, 9, 17], part=(3, 5, 40, 61))]
    np.testing.assert_array_equal([pixels for _, pixels in seen], whole[[2, 2, 2, 9, 17], 3:40, 5:61])
    assert seen[0][0] == seen[1][0] == seen[2][0]
    assert list(clip.stream([])) == []
    with pytest.raises(IndexError, match="no part"):
        clip.stream([2], part=(0, 0, 1, 10_000))


def test_no_indices_give_no_frames(path: Path) -> None:
    with open_clip(path) as clip:
        assert clip.frames([]).shape == (0, 48, 64, 3)
        assert clip.times([]).shape == (0,)


def test_plans_and_reading_twice(path: Path, whole: np.ndarray) -> None:
    with open_clip(path) as clip:
        for plan in (uniform(40, 8), window(40, 2, 8, 8), every(40), uniform(40, 8)):
            np.testing.assert_array_equal(clip.frames(plan), whole[plan])
    np.testing.assert_array_equal(read_frames(path, lambda n: uniform(n, 4)), whole[uniform(40, 4)])
    np.testing.assert_array_equal(read_frames(path, [3, 2]), whole[[3, 2]])


def test_every_kind_of_source(path: Path, whole: np.ndarray, tmp_path: Path, monkeypatch) -> None:
    data = path.read_bytes()
    odd = tmp_path / "ein Clip; 100 % 宇宙 #1?.mp4"
    odd.write_bytes(data)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:").mkdir()
    (tmp_path / "http:" / "clip.mp4").write_bytes(data)
    sources = [
        path,
        str(path),
        data,
        bytearray(data),
        {"path": str(path), "bytes": None},
        {"path": "gone.mp4", "bytes": data},
        {"path": None, "bytes": data},
        odd,
        odd.name,
        "http:/clip.mp4",  # a folder of that name: paths are never read as addresses
    ]
    for source in sources:
        np.testing.assert_array_equal(read_frames(source, [0, 39]), whole[[0, 39]])


@pytest.mark.parametrize("index", [-1, 40, 10**30, np.int64(-5)])
def test_frames_that_do_not_exist(path: Path, index) -> None:
    with open_clip(path) as clip:
        for ask in (clip.frames, clip.times):
            with pytest.raises(IndexError, match=r"Apollo13_032.mp4: there is no frame .* 0 to 39"):
                ask([0, index])


@pytest.mark.parametrize("indices", [[1.0], ["1"], [True], "12", b"1", 3, [[1, 2]], [None], np.array([True, False])])
def test_indices_are_whole_numbers(path: Path, indices) -> None:
    with open_clip(path) as clip, pytest.raises(TypeError, match="whole number"):
        clip.frames(indices)


def test_a_closed_clip_reads_no_frames(path: Path) -> None:
    clip = open_clip(path)
    clip.close()
    clip.close()
    assert "closed" in repr(clip)
    assert (len(clip), clip.fps, clip.height, clip.width) == (40, 30.0, 48, 64)
    for use in (lambda: clip.frames([0]), lambda: clip.times()):
        with pytest.raises(ClipError, match="closed"):
            use()


def test_pickling_opens_again(path: Path, whole: np.ndarray, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(path.parent)
    here = pickle.dumps(open_clip(path.name))
    monkeypatch.chdir(tmp_path)  # the clip keeps its absolute path
    for packed in (here, pickle.dumps(open_clip(path.read_bytes()))):
        np.testing.assert_array_equal(pickle.loads(packed).frames([39]), whole[[39]])


def test_a_clip_holds_no_open_file(path: Path, whole: np.ndarray, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(path.read_bytes())
    gc.collect()  # what earlier tests left open
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    clips = [open_clip(copy) for _ in range(20)]
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before
    copy.unlink()  # what was opened can still be read
    np.testing.assert_array_equal(clips[7].frames([11]), whole[[11]])


@pytest.mark.parametrize("fps", [30, 25, Fraction(30000, 1001)], ids=str)
def test_rate(tmp_path: Path, fps) -> None:
    clip = open_clip(write_video(tmp_path / "rate.mp4", fps=fps, count=7))
    assert clip.fps == pytest.approx(float(fps), abs=1e-9)
    matroska = open_clip(write_video(tmp_path / "rate.mkv", fps=fps, count=7))
    assert matroska.fps == pytest.approx(float(fps), abs=1e-6)


def test_unknown_backend(path: Path) -> None:
    with pytest.raises(ClipError, match="no decoder 'opencv'; choose one of auto, pyav, decord, torchcodec"):
        open_clip(path, backend="opencv")
