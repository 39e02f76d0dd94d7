"""The cache of ``datasets`` never returns rows of other data, another request or other row-shaping code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import datasets
import pytest

import microg4m_hf
from microg4m_hf.data import resolve
from microg4m_hf.data.builder import MicroG4M
from tests.house import read_files
from tests.support.fake_release import FakeRelease, make_release, put_clips
from tests.support.hub_release import put_release
from tests.support.hub_server import HubServer
from tests.support.videos import write_video
from tests.support.warm_python import warm_python


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRelease:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    made = make_release(tmp_path / "release", sources=3, clips=3)
    put_clips(made)
    return made


def hash_of(release: FakeRelease, config: str, **options: object) -> str:
    return MicroG4M(config_name=config, data_dir=str(release.root), **options).hash


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_second_load_builds_nothing(release: FakeRelease) -> None:
    first = microg4m_hf.load_dataset("har", data_dir=release.root, split="train")
    written = Path(first.cache_files[0]["filename"]).stat().st_mtime_ns
    second = microg4m_hf.load_dataset("har", data_dir=release.root, split="train", scheme="official")
    assert first.cache_files == second.cache_files
    assert Path(second.cache_files[0]["filename"]).stat().st_mtime_ns == written
    assert first._fingerprint == second._fingerprint


@pytest.mark.parametrize("streaming", [False, True])
def test_changed_texts_are_noticed(release: FakeRelease, streaming: bool) -> None:
    def captions() -> list[str]:
        rows = microg4m_hf.load_dataset("caption", data_dir=release.root, split="test", streaming=streaming)
        return [row["caption"] for row in rows]

    before = captions()
    rewrite(release.files["vqa_and_captioning.json"], "What ", "That ")  # the size stays the same
    assert captions() == [caption.replace("What ", "That ") for caption in before]


def test_changed_boxes_reach_cached_maps_too(release: FakeRelease) -> None:
    def corners() -> list[float]:
        rows = microg4m_hf.load_dataset("har", data_dir=release.root, split="train")
        sums = rows.map(lambda row: {"sum": sum(sum(box) for who in row["persons"] for box in who["boxes"])})
        return sums["sum"][:]

    before = corners()
    boxes = release.files["bounding_boxes.csv"]
    header, *lines = boxes.read_text().splitlines()
    moved = [",".join([*(cells := line.split(","))[:3], "0.5", *cells[4:]]) for line in lines]
    boxes.write_text("\n".join([header, *moved]) + "\n")
    assert corners() != before


def test_only_the_files_of_the_config_count(release: FakeRelease) -> None:
    har, vqa = hash_of(release, "har"), hash_of(release, "vqa")
    rewrite(release.files["vqa_and_captioning.json"], "What ", "That ")
    assert hash_of(release, "har") == har and hash_of(release, "vqa") != vqa
    vqa = hash_of(release, "vqa")
    with open(release.files["bounding_boxes.csv"], "a") as file:
        file.write("\n")
    assert hash_of(release, "har") != har and hash_of(release, "vqa") == vqa


def test_changed_clips_are_noticed(release: FakeRelease) -> None:
    with_clips, without = hash_of(release, "har"), hash_of(release, "har", videos=False)
    clip = next((release.root / "videos").rglob("*.mp4"))
    clip.unlink()
    missing = hash_of(release, "har")
    write_video(clip, count=5)
    assert len({with_clips, missing, hash_of(release, "har")}) == 3
    assert hash_of(release, "har", videos=False) == without


def test_two_folders_never_mix(release: FakeRelease, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(release.root, other)
    for folder in (release.root, other):
        for rows in microg4m_hf.load_dataset("har", data_dir=folder).values():
            assert all(Path(row["video"]["path"]).is_relative_to(folder) for row in rows)
    different = make_release(tmp_path / "different", seed=1, sources=3, clips=4)
    for made in (release, different, release):
        rows = microg4m_hf.load_dataset("har", data_dir=made.root, videos=False)
        assert {name for split in rows.values() for name in split["video_id"]} == set(made.clips)


def test_the_working_directory_does_not_matter(
    release: FakeRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    different = make_release(tmp_path / "elsewhere" / "release", seed=1, sources=3, clips=4)
    for made in (release, different):
        monkeypatch.chdir(made.root.parent)
        for rows in (
            microg4m_hf.load_dataset("vqa", data_dir="release", videos=False, split="test"),
            datasets.load_dataset("microg4m", "vqa", data_dir="release", videos=False, split="test"),
        ):
            assert set(rows["video_id"]) == {entry["video_id"] for entry in made.texts}
    stream = microg4m_hf.load_dataset("vqa", data_dir="release", videos=False, split="test", streaming=True)
    monkeypatch.chdir(tmp_path)
    assert {row["video_id"] for row in stream} == {entry["video_id"] for entry in different.texts}


def test_each_request_has_its_own_cache(release: FakeRelease) -> None:
    options = [{}, {"scheme": "source_disjoint"}, {"domain": "real"}, {"videos": False}, {"on_error": "skip"}]
    places = {
        microg4m_hf.load_dataset("har", data_dir=release.root, **one)["train"].cache_files[0]["filename"]
        for one in options
    }
    assert len(places) == len(options)
    assert all("microg4m" in Path(place).parts for place in places)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package whose files the fingerprint reads, and that a test may edit."""
    copy = tmp_path / "package"
    shutil.copytree(Path(resolve.__file__).parent.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(resolve, "__file__", str(copy / "data" / "resolve.py"))
    return copy


def fingerprint_after_edit(path: Path) -> str:
    before = path.read_bytes()
    path.write_bytes(before + b"# changed\n")
    try:
        return resolve.code_fingerprint.__wrapped__()
    finally:
        path.write_bytes(before)


def row_files() -> set[str]:
    """`tables.py`, every file that it imports, directly or not, and the builder, which writes the rows."""
    files = read_files()
    found, queue = set(), ["data/tables.py"]
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += files[name].imports
    return found | {"data/builder.py"}


# What `tables.py` imports, though it cannot change a row: messages, optional packages, the Hub. The version is
# hashed as a value.
NOT_ROW_CODE = {"__init__.py", "_version.py", "errors.py", "extras.py", "hub.py"}


def test_editing_code_that_shapes_rows_changes_the_fingerprint(package: Path) -> None:
    before = resolve.code_fingerprint.__wrapped__()
    assert before == resolve.code_fingerprint()
    names = sorted(row_files() - NOT_ROW_CODE)
    assert {"data/tables.py", "data/release/texts.py", "data/video/mp4.py", "taxonomy.py", "clip_ids.py"} <= set(names)
    fingerprints = [fingerprint_after_edit(package / name) for name in names]
    assert len({before, *fingerprints}) == 1 + len(names)


def test_editing_other_code_keeps_the_fingerprint(package: Path) -> None:
    before = resolve.code_fingerprint.__wrapped__()
    others = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    others -= row_files() - NOT_ROW_CODE
    assert {"data/contact_sheet.py", "data/stats.py", "data/sources.py", "data/resolve.py"} <= others
    assert {"data/publish/push.py", "data/sample/world.py", "data/export_ava.py"} <= others
    for name in others - {"data/release/__init__.py"}:
        with open(package / name, "a") as file:
            file.write("# changed\n")
    assert resolve.code_fingerprint.__wrapped__() == before


def test_the_version_is_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resolve.code_fingerprint()
    monkeypatch.setattr(resolve, "__version__", "99.0")
    assert resolve.code_fingerprint.__wrapped__() != before


def test_changed_code_is_noticed(release: FakeRelease, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of(release, "har")
    monkeypatch.setattr("microg4m_hf.data.resolve.code_fingerprint", lambda: "changed")
    assert hash_of(release, "har") != before


def test_nothing_is_stored_twice(release: FakeRelease) -> None:
    clips = sum(path.stat().st_size for path in (release.root / "videos").rglob("*.mp4"))
    for config in ("har", "caption", "vqa"):
        for rows in microg4m_hf.load_dataset(config, data_dir=release.root).values():
            assert all(row["bytes"] is None for row in rows["video"])
            assert sum(Path(file["filename"]).stat().st_size for file in rows.cache_files) < clips


def test_force_redownload(release: FakeRelease) -> None:
    for _ in range(2):
        rows = datasets.load_dataset(
            "microg4m", "har", data_dir=str(release.root), split="test", download_mode="force_redownload"
        )
        assert len(rows) == sum(clip.split == "test" for clip in release.clips.values())


FROM_THE_HUB = """
import json, sys, datasets, microg4m_hf
from pathlib import Path
rows = microg4m_hf.load_dataset("vqa", split="test", videos=sys.argv[1] == "clips")
there = [Path(row["video"]["path"]).is_file() for row in rows] if "video" in rows.column_names else []
print(json.dumps({"rows": len(rows), "there": there, "files": [f["filename"] for f in rows.cache_files]}))
"""


def test_clips_are_downloaded_when_needed_and_again_when_deleted(release: FakeRelease, tmp_path: Path) -> None:
    def load(*, clips: bool) -> dict:
        homes = {"HF_HOME": str(tmp_path / "hf"), "MICROG4M_HOME": str(tmp_path / "microg4m")}
        done = subprocess.run(
            [warm_python(), "-c", FROM_THE_HUB, "clips" if clips else "no clips"],
            env={**os.environ, **hub.environment(), **homes},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def archives_sent() -> int:
        return sum(
            request.method == "GET" and request.path.endswith("/videos.zip") and request.status == 200
            for request in hub.requests
        )

    questions = sum(len(entry["qa_pairs"]) for entry in release.texts)
    with HubServer() as hub:
        put_release(hub, release.root)
        assert load(clips=False)["rows"] == questions
        assert archives_sent() == 0
        assert not any(request.path.endswith("bounding_boxes.csv") for request in hub.requests)
        first, second = load(clips=True), load(clips=True)
        assert all(first["there"]) and len(first["there"]) == questions
        assert first == second and archives_sent() == 1
        (unpacked,) = (tmp_path / "microg4m").rglob("videos")
        shutil.rmtree(unpacked)
        assert load(clips=True) == first
