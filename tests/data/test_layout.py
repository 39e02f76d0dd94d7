"""The files of a release are found under any folder names, and nothing outside the folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from microg4m_hf.data.release.layout import find_layout
from microg4m_hf.errors import SourceError


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


def test_the_authors_two_repositories_in_one_folder(tmp_path: Path) -> None:
    put(tmp_path, "annotation_files/actions.csv", "annotation_files/bounding_boxes.csv", "label_map/label_map.pbtxt")
    put(tmp_path, "vqa_and_captioning_v1.json", "MicroG-HAR-train-ready/data/ava_train.csv")
    put(tmp_path, "MicroG-HAR-train-ready/data/ava_val_gt.csv", "MicroG-HAR-train-ready/data/ava_test_gt.csv")
    put(tmp_path, "videos/movie/ISS/ISS_001.mp4", "videos/real/x/x_001.mp4", "videos_annotated/real/x/x_001.mp4")
    layout = find_layout(tmp_path)
    assert layout.name(layout.actions) == "annotation_files/actions.csv"
    assert layout.boxes.name == "bounding_boxes.csv" and layout.label_map.parent.name == "label_map"
    assert layout.texts.name == "vqa_and_captioning_v1.json"
    assert [path.name for path in (layout.ava_train, layout.ava_val, layout.ava_test)] == [
        "ava_train.csv", "ava_val_gt.csv", "ava_test_gt.csv"]  # fmt: skip
    assert layout.videos == layout.root / "videos"
    assert layout.ava_all is None


def test_everything_in_one_folder(tmp_path: Path) -> None:
    put(tmp_path, "actions.csv", "vqa_and_captioning.json", "movie/ISS/ISS_001.mp4")
    layout = find_layout(tmp_path)
    assert layout.actions.parent == layout.videos == layout.root


def test_the_least_deep_file_is_taken_then_the_first_by_name(tmp_path: Path) -> None:
    put(tmp_path, "b/actions.csv", "a/deep/actions.csv", "c/actions.csv")
    assert find_layout(tmp_path).actions == tmp_path.resolve() / "b/actions.csv"
    put(tmp_path, "vqa_and_captioning_old.json", "vqa_and_captioning.json")
    assert find_layout(tmp_path).texts.name == "vqa_and_captioning.json"


def test_three_folders_deep_and_no_deeper(tmp_path: Path) -> None:
    put(tmp_path, "a/b/c/actions.csv", "a/b/c/d/bounding_boxes.csv")
    layout = find_layout(tmp_path)
    assert layout.actions is not None and layout.boxes is None


def test_folders_of_clips_and_hidden_folders_are_not_searched(tmp_path: Path) -> None:
    put(tmp_path, "videos/real/actions.csv", "videos/movie/ISS/bounding_boxes.csv", ".cache/label_map.pbtxt")
    layout = find_layout(tmp_path)
    assert (layout.actions, layout.boxes, layout.label_map) == (None, None, None)


def test_annotated_clips_are_not_the_clips(tmp_path: Path) -> None:
    put(tmp_path, "videos_annotated/real/x/x_001.mp4")
    assert find_layout(tmp_path).videos is None


def test_links_stay_inside(tmp_path: Path) -> None:
    put(tmp_path, "outside/actions.csv", "outside/videos/real/x.mp4", "inside/files/label_map.pbtxt")
    root = tmp_path / "inside"
    (root / "actions.csv").symlink_to(tmp_path / "outside/actions.csv")
    (root / "videos").symlink_to(tmp_path / "outside/videos")
    (root / "map").mkdir()
    (root / "map/label_map.pbtxt").symlink_to(root / "files/label_map.pbtxt")
    layout = find_layout(root)
    assert (layout.actions, layout.videos) == (None, None)
    assert layout.label_map is not None
    with pytest.raises(SourceError, match=r"actions\.csv leads out of the folder"):
        layout.require("actions")


def test_a_snapshot_of_the_hub_cache_links_to_its_blobs(tmp_path: Path) -> None:
    put(tmp_path, "repo/blobs/abc", "other/blobs/abc")
    snapshot = tmp_path / "repo/snapshots/123"
    snapshot.mkdir(parents=True)
    (snapshot / "actions.csv").symlink_to("../../blobs/abc")
    (snapshot / "bounding_boxes.csv").symlink_to(tmp_path / "other/blobs/abc")
    layout = find_layout(snapshot)
    assert layout.actions is not None and layout.boxes is None


def test_a_loop_of_links_does_not_hang(tmp_path: Path) -> None:
    put(tmp_path, "actions.csv")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "ava_train.csv").symlink_to(tmp_path / "ava_train.csv")
    assert find_layout(tmp_path).actions is not None


def test_errors_tell_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a folder"):
        find_layout(tmp_path / "no")
    (tmp_path / "actions.csv").mkdir()
    with pytest.raises(SourceError, match=r"contains no actions\.csv.*data_dir="):
        find_layout(tmp_path).require("actions")
    with pytest.raises(SourceError, match="contains no folder videos/"):
        find_layout(tmp_path).require("videos")
