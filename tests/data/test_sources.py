"""The release comes from a folder, the Hub or the sample; the Hub sends only what a config needs, and only once."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from microg4m_hf.data.release.layout import find_layout
from microg4m_hf.data.sources import DATA_REPO, SPLITS_REPO, resolve_root
from microg4m_hf.errors import DataError, SourceError
from tests.support.hub_release import CLIPS, put_release, tiny_release
from tests.support.hub_server import HubServer


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def released_hub(hub: HubServer, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The authors' repositories on the local Hub, and caches that hold nothing."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    put_release(hub, release)
    return hub


def downloads(hub: HubServer) -> list[str]:
    """Base names of the files that were really sent."""
    return [Path(request.path).name for request in hub.requested("/resolve/") if request.status in (200, 206)]


def test_captions_download_neither_boxes_nor_videos(released_hub: HubServer) -> None:
    root = resolve_root("caption", videos=False)
    layout = find_layout(root)
    assert layout.texts and layout.actions and layout.ava_test
    assert layout.boxes is None and layout.videos is None
    names = downloads(released_hub)
    assert "vqa_and_captioning.json" in names
    assert not {"bounding_boxes.csv", "videos.zip", "videos_annotated.zip"} & set(names)


def test_har_downloads_boxes_and_clips_but_no_texts(released_hub: HubServer, release: Path) -> None:
    root = resolve_root("har")
    layout = find_layout(root)
    assert layout.boxes and layout.boxes.read_bytes() == (release / "annotation_files/bounding_boxes.csv").read_bytes()
    assert {f"{p.parent.parent.name}/{p.parent.name}/{p.stem}" for p in (root / "videos").rglob("*.mp4")} == set(CLIPS)
    assert layout.texts is None
    assert "videos_annotated.zip" not in downloads(released_hub)


def test_nothing_is_downloaded_twice(released_hub: HubServer) -> None:
    first = resolve_root("har")
    sent = downloads(released_hub)
    assert resolve_root("har") == first
    assert downloads(released_hub) == sent
    assert sorted(sent) == sorted(set(sent))
    resolve_root("vqa")  # the clips are there already
    assert downloads(released_hub)[len(sent) :] == ["vqa_and_captioning.json"]


def test_a_pinned_revision_needs_no_second_request(released_hub: HubServer) -> None:
    data, splits = (released_hub.repo("dataset", name).sha for name in (DATA_REPO, SPLITS_REPO))
    pinned = resolve_root("caption", revision=f"{data},{splits}", videos=False)
    before = find_layout(pinned).texts.read_bytes()  # type: ignore[union-attr]
    released_hub.put("dataset", DATA_REPO, {"vqa_and_captioning.json": b"[]"})
    newest = resolve_root("caption", videos=False)
    assert find_layout(newest).texts.read_bytes() == b"[]"  # type: ignore[union-attr]
    asked = len(released_hub.requests)
    again = resolve_root("caption", revision=f"{data},{splits}", videos=False)
    assert again == pinned and find_layout(again).texts.read_bytes() == before  # type: ignore[union-attr]
    assert len(released_hub.requests) == asked


def test_the_commits_are_recorded(released_hub: HubServer) -> None:
    import json

    root = resolve_root("caption", videos=False)
    commits = {name: released_hub.repo("dataset", name).sha for name in (DATA_REPO, SPLITS_REPO)}
    assert json.loads((root / "revisions.json").read_text()) == commits


def test_downloaded_files_work_without_the_hub(released_hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    there = resolve_root("har")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    assert resolve_root("har") == there


def test_an_unreachable_hub_raises_soon_with_three_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        resolve_root("har")
    assert time.monotonic() - start < 3
    for way in ("data_dir=", "log in", "source='sample'"):
        assert way in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lost_connections_are_retried(released_hub: HubServer, quick_retries: None) -> None:
    released_hub.fail("GET", "resolve/.*videos.zip", cut=True)
    released_hub.fail("GET", "resolve/.*actions.csv", status=503)
    root = resolve_root("har")
    assert len(list((root / "videos").rglob("*.mp4"))) == len(CLIPS)


def test_a_failed_download_is_one_line_and_the_next_call_resumes(released_hub: HubServer) -> None:
    released_hub.fail("GET", "resolve/.*bounding_boxes.csv", status=403)
    with pytest.raises(SourceError, match=r"cannot download annotation_files/bounding_boxes\.csv"):
        resolve_root("har", videos=False)
    assert find_layout(resolve_root("har", videos=False)).boxes


def test_a_damaged_archive_is_downloaded_again_when_the_named_file_is_deleted(released_hub: HubServer) -> None:
    root = resolve_root("har")
    archive = next((root.parents[2] / "hub-cache").rglob("videos.zip"))
    archive.resolve().write_bytes(archive.read_bytes()[:-100])
    shutil.rmtree(root / "videos")
    with pytest.raises(DataError, match="the archive is damaged") as caught:
        resolve_root("har")
    named = re.search(r"delete (.+) and download it again", str(caught.value))
    assert named
    Path(named[1]).unlink()
    assert len(list((resolve_root("har") / "videos").rglob("*.mp4"))) == len(CLIPS)


def test_an_unsafe_file_list_or_archive_is_refused(released_hub: HubServer, tmp_path: Path) -> None:
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("videos/real/../../../../escaped/escaped_1.mp4", b"x")
    released_hub.put("dataset", DATA_REPO, {"videos.zip": packed.getvalue()})
    with pytest.raises(DataError, match="leaves the folder"):
        resolve_root("har")
    assert not list(tmp_path.rglob("escaped*"))
    released_hub.put("dataset", DATA_REPO, {"../../actions.csv": b"x"})
    with pytest.raises(SourceError, match="leaves the folder"):
        resolve_root("har", videos=False)


@pytest.mark.parametrize(
    "name", ["videos/actions.csv", "Videos/x/actions.csv", "revisions.json/actions.csv", ".videos.lock/actions.csv"]
)
def test_a_file_at_a_place_of_ours_is_refused_in_one_line(
    hub: HubServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path / "home"))
    ava = {f"ava_{split}_gt.csv": b"" for split in ("train", "val", "test")}
    hub.put("dataset", "org/odd", {name: b"x", **ava})
    hub.put("dataset", SPLITS_REPO, {"README.md": b"x"})
    with pytest.raises(SourceError, match="a place that is used for something else") as caught:
        resolve_root("har", source="org/odd", videos=False)
    assert repr(name) in str(caught.value) and "\n" not in str(caught.value)
    assert not list((tmp_path / "home" / "hub").glob("*/videos"))


def test_a_copy_of_the_release_in_one_repository(released_hub: HubServer, release: Path) -> None:
    everything = {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*.*v")}
    released_hub.put("dataset", "org/copy", everything)
    del released_hub.store.repos["dataset", SPLITS_REPO]
    layout = find_layout(resolve_root("har", source="org/copy", videos=False))
    assert layout.actions and layout.ava_val
    with pytest.raises(SourceError, match=r"org/copy at .* contains no videos.zip"):
        resolve_root("har", source="org/copy")


def test_a_missing_repository_or_revision_is_named(released_hub: HubServer) -> None:
    with pytest.raises(SourceError, match="cannot read the dataset org/nothing at revision main: no such repository"):
        resolve_root("har", source="org/nothing")
    with pytest.raises(SourceError, match="revision v99"):
        resolve_root("har", revision="v99")


def test_a_local_folder_is_used_as_it_is(release: Path) -> None:
    assert resolve_root("vqa", data_dir=str(release)) == release


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_dir": "/no/such"}, "'/no/such' is not a folder"),
        ({"data_dir": __file__}, "is a file, not a folder"),
        ({"data_dir": os.curdir, "source": "sample"}, "exclude each other"),
        ({"data_dir": os.curdir, "revision": "v1"}, "exclude each other"),
        ({"source": "smaple"}, "unknown source: 'smaple'"),
        ({"source": "sample", "revision": "v1"}, "the sample has no revisions"),
        ({"revision": "a,b,c"}, "invalid revision"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises((DataError, SourceError), match=message):
        resolve_root("har", **arguments)  # type: ignore[arg-type]
