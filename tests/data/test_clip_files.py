"""Missing, damaged or linked clip files of a release are refused, or left out whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.data.release.clip_files import check_clip_files, clip_path
from microg4m_hf.data.release.faults import ErrorPolicy
from microg4m_hf.data.release.layout import find_layout
from microg4m_hf.data.release.release import read_release
from microg4m_hf.errors import DataError
from tests.support.fake_release import FakeRelease, make_release
from tests.support.videos import write_mp4


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
