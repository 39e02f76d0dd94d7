"""The frame size of a clip is inferred from its key frames, read from its header, or assumed with a warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.data.release.frame_size import HOW, infer_frame_sizes
from microg4m_hf.data.release.release import read_release
from tests.support.fake_release import make_release
from tests.support.videos import write_mp4


@pytest.mark.parametrize("decimals", [0, 1, 2, 6])
@pytest.mark.parametrize("sizes", [((854, 480), (640, 480), (720, 480)), ((320, 240),), ((1138, 480), (480, 854))])
def test_sizes_are_inferred_from_key_frames(tmp_path: Path, decimals: int, sizes: tuple) -> None:
    truth = make_release(tmp_path, seed=decimals, clips=8, decimals=decimals, sizes=sizes)
    release = read_release(tmp_path)
    found = {row["video_id"]: (row["width"], row["height"]) for row in release.frame_sizes.to_pylist()}
    off = {
        video_id: (found[video_id], clip.size) for video_id, clip in truth.clips.items() if found[video_id] != clip.size
    }
    if decimals:
        assert off == {}
    # Whole pixels leave a few sizes open; the one chosen explains every key box, so it is two pixels off at most.
    assert all(abs(a - b) <= 2 for pair in off.values() for a, b in zip(*pair, strict=True))
    assert release.counts["frame_sizes_from_key_frames"] == len(truth.clips)


def test_a_clip_that_contradicts_its_source_has_its_own_size() -> None:
    rng = np.random.default_rng(0)
    normal = np.sort(rng.uniform(0.2, 0.9, (40, 2, 2)), axis=1).reshape(40, 4)
    size = np.tile([854.0, 480.0], (40, 1))
    size[7] = [640, 480]
    pixels = np.round(normal * np.tile(size, 2), 2)
    clips, source = np.arange(40), np.zeros(40, dtype=np.int64)
    found = infer_frame_sizes(clips, pixels, np.round(normal, 3), source, clips >= 0, lambda clip: None)
    # Two corners may leave two even sizes open; the usual one is taken.
    assert found.size[7].tolist() == [640, 480]
    assert (np.delete(found.size, 7, axis=0) == [854, 480]).mean() > 0.9


def test_a_clip_without_key_frame_has_the_size_of_its_source() -> None:
    pixels, normal = np.array([[64.0, 48, 320, 470.4]]), np.array([[0.1, 0.1, 0.5, 0.98]])
    source, needed = np.array([0, 0, 1]), np.array([True, True, True])
    found = infer_frame_sizes(
        np.array([0]), pixels, normal, source, needed, lambda clip: (320, 240) if clip == 2 else None
    )
    assert found.size.tolist() == [[640, 480], [640, 480], [320, 240]]
    assert [HOW[how] for how in found.how] == ["key frames", "source", "header"]


def test_boxes_on_the_border_bound_one_side_only() -> None:
    """A box cut at the border says 1.0 whatever lies past it."""
    pixels = np.array([[0.0, 0.0, 854.6, 480.9], [427.0, 240.0, 640.5, 360.0]])
    normal = np.array([[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.75, 0.75]])
    one = np.array([0])
    found = infer_frame_sizes(np.array([0, 0]), pixels, normal, one, one == 0, lambda clip: None)
    assert found.size.tolist() == [[854, 480]]


def test_the_header_is_read_if_there_is_no_key_frame(tmp_path: Path) -> None:
    truth = make_release(tmp_path, ava=False, sizes=((320, 240), (426, 240)))
    for video_id, clip in truth.clips.items():
        path = tmp_path / "videos" / clip.domain / truth.source_of[video_id] / f"{video_id}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mp4(path, *clip.size)
    release = read_release(tmp_path, need={"har", "videos"})
    assert release.counts["frame_sizes_from_header"] == len(truth.clips)
    found = {row["video_id"]: (row["width"], row["height"]) for row in release.frame_sizes.to_pylist()}
    assert found == {video_id: clip.size for video_id, clip in truth.clips.items()}
