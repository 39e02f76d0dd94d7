"""A published dataset: the files in the repository, and what a user without this library loads from it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from microg4m_hf.citation import CITATION
from microg4m_hf.data import open_clip
from microg4m_hf.taxonomy import ACTION_NAMES
from tests.support.hub_release import CLIPS, tiny_release
from tests.support.hub_server import HubServer
from tests.support.hub_store import Repo
from tests.support.warm_python import warm_python

NAME = "me/MicroG-4M"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def pushed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubServer, str]]:
    """A Hub to which the command line has pushed, and the output of the command."""
    folder = tmp_path_factory.mktemp("pushed")
    with HubServer(folder / "hub") as hub:
        command = [warm_python(), "-m", "microg4m_hf", "data", "push", NAME, "--data-dir", str(release)]
        done = subprocess.run(command, env=_environment(hub, folder), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield hub, done.stdout


@pytest.fixture(scope="module")
def repo(pushed: tuple[HubServer, str]) -> Repo:
    return pushed[0].repo("dataset", NAME)


def _environment(hub: HubServer, folder: Path, token: str | None = "hf_test") -> dict[str, str]:
    """Variables for a process that uses only this Hub, with empty caches."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MICROG4M_"))}
    return kept | hub.environment(token) | {"HF_HOME": str(folder / "hf"), "MICROG4M_HOME": str(folder / "microg4m")}


def test_each_clip_is_stored_once(repo: Repo, release: Path) -> None:
    contents = [repo.read(path) for path in repo.tree()]
    for clip in CLIPS:
        mp4 = (release / "videos" / f"{clip}.mp4").read_bytes()
        assert sum(content.count(mp4) for content in contents) == 1


def test_the_index_gives_every_mp4_as_a_range(repo: Repo, release: Path) -> None:
    index = json.loads(repo.read("clips.json"))
    assert set(index) == {Path(clip).name for clip in CLIPS}
    for clip in CLIPS:
        path, offset, length = index[Path(clip).name]
        mp4 = (release / "videos" / f"{clip}.mp4").read_bytes()
        assert repo.read(path)[offset : offset + length] == mp4


def test_main_changes_in_one_commit_and_the_tag_is_of_the_clips(repo: Repo) -> None:
    assert len(list(repo.history())) == 2  # the Hub's initial commit, and ours
    assert list(repo.branches) == ["main"]
    (tag,) = repo.tags
    at_tag = {path: entry.sha256 for path, entry in repo.tree(tag).items() if path.startswith("clips/")}
    at_main = {path: entry.sha256 for path, entry in repo.tree().items() if path.startswith("clips/")}
    assert at_tag == at_main


def test_the_repository_holds_no_loading_script(repo: Repo) -> None:
    assert not [path for path in repo.tree() if path.endswith(".py")]


def test_the_card_states_the_counts(repo: Repo) -> None:
    _, head, body = repo.read("README.md").decode().split("---\n", 2)
    meta = yaml.safe_load(head)
    assert (meta["license"], meta["size_categories"]) == ("cc-by-4.0", ["n<1K"])
    assert "{{" not in body
    assert [config["config_name"] for config in meta["configs"]] == ["har", "har_source_disjoint", "caption", "vqa"]
    assert all(re.fullmatch(r"1\.0\.\d+", config["version"]) for config in meta["configs"])
    rows = {
        info["config_name"]: {split["name"]: split["num_examples"] for split in info["splits"]}
        for info in meta["dataset_info"]
    }
    assert rows["har"] == {"train": 7, "validation": 2, "test": 3}
    assert sum(rows["har_source_disjoint"].values()) == 12
    assert (rows["caption"], rows["vqa"]) == ({"test": 4}, {"test": 8})
    assert "in 12 three-second clips (8 of real footage, 4 of" in body
    assert "36 labels of 18 persons" in body and "180 boxes" in body
    assert "| sources | 3 of 3 | 0 of " in body
    assert "CC-BY-4.0" in body and body.endswith(f"\n{CITATION}")


def test_the_command_prints_how_to_load_the_dataset(pushed: tuple[HubServer, str], repo: Repo) -> None:
    assert f'load_dataset("{NAME}", "har", revision="{repo.sha}")' in pushed[1]
    assert "loaded back, clips decoded: " in pushed[1]


# What a user without this library does; the results come back as JSON.
_OUTSIDER = """
import hashlib, json, re, sys
from datasets import Video, get_dataset_config_names, get_dataset_split_names, load_dataset
from huggingface_hub import hf_hub_download, snapshot_download
name, folder, revision = sys.argv[1:]
rows = load_dataset(name, "vqa", split="test")
print(rows["question"][0], flush=True)
input()  # the test counts the requests of the texts before this line, and of the clips before the next
print(len([row["video"][0] for row in rows]), flush=True)
input()
found = {"configs": get_dataset_config_names(name), "splits": {}, "rows": {}, "sha": {}, "frames": {}}
def digest(video):
    if video["bytes"] is None:
        import fsspec
        with fsspec.open(video["path"], "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    return hashlib.sha256(video["bytes"]).hexdigest()
for config in found["configs"]:
    found["splits"][config] = get_dataset_split_names(name, config)
    for streaming in (False, True):
        data = load_dataset(name, config, streaming=streaming, revision=revision)
        key = f"{config} {'streaming' if streaming else 'downloaded'}"
        found["rows"][key], found["sha"][key] = {}, {}
        for split, rows in data.items():
            listed = list(rows.cast_column("video", Video(decode=False)))
            found["rows"][key][split] = [{k: v for k, v in row.items() if k != "video"} for row in listed]
            found["sha"][key] |= {row["video_id"]: digest(row["video"]) for row in listed}
            decoder = next(iter(rows))["video"]
            found["frames"][f"{key} {split}"] = [len(decoder), *decoder[0].shape]
        found[f"features {config}"] = repr(data[split].features)
found["slice"] = len(load_dataset(name, "har", split="train[:50%]"))
found["default"] = len(load_dataset(name, split="test"))
card = open(hf_hub_download(name, "README.md", repo_type="dataset")).read()
card = card.replace("<commit>", revision)
names = {}
for block in re.findall("```python\\n(.*?)```", card, re.DOTALL):
    exec(block, names)
found["card"] = [names["mp4"][4:8].decode(), len(names["pinned"]["test"]), len(list(names["some"]))]
local = snapshot_download(name, repo_type="dataset", local_dir=folder)
found["local"] = len(load_dataset(local, "vqa", split="test"))
assert not [module for module in sys.modules if module.startswith("microg4m")]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def outsider(pushed: tuple[HubServer, str], repo: Repo, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("outsider")
    hub, _ = pushed
    child = subprocess.Popen(
        [warm_python(), "-c", _OUTSIDER, NAME, str(folder / "copy"), repo.sha],
        env=_environment(hub, folder, token=None),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin and child.stdout
    marks = [len(hub.requests)]
    first = [child.stdout.readline()]
    marks.append(len(hub.requests))
    print("go on", file=child.stdin, flush=True)
    first.append(child.stdout.readline())
    marks.append(len(hub.requests))
    found = child.communicate("go on\n")[0]
    assert child.returncode == 0
    assert first[0] == "What is seen in clip 0, first?\n"
    return json.loads(found) | {
        "decoded": int(first[1]),
        "asked for texts": hub.requests[marks[0] : marks[1]],
        "asked for clips": hub.requests[marks[1] : marks[2]],
    }


def test_all_configs_are_found_without_the_library(outsider: dict[str, Any]) -> None:
    assert outsider["configs"] == ["har", "har_source_disjoint", "caption", "vqa"]
    assert outsider["splits"]["har"] == ["train", "validation", "test"]
    assert outsider["splits"]["vqa"] == ["test"]
    assert (outsider["slice"], outsider["default"], outsider["local"]) == (4, 3, 8)


def test_the_code_on_the_card_runs(outsider: dict[str, Any]) -> None:
    assert outsider["card"] == ["ftyp", 4, 7]


def test_streaming_and_downloading_give_the_same_rows(outsider: dict[str, Any]) -> None:
    for config in outsider["configs"]:
        assert outsider["rows"][f"{config} streaming"] == outsider["rows"][f"{config} downloaded"]


def test_rows_without_the_library_equal_those_with_it(outsider: dict[str, Any], release: Path) -> None:
    from microg4m_hf.data.request import Request
    from microg4m_hf.data.tables import build_tables

    for published in outsider["configs"]:
        config, disjoint = published.removesuffix("_source_disjoint"), published.endswith("disjoint")
        request = Request(config, data_dir=str(release), scheme="source_disjoint" if disjoint else None, videos=False)
        for split, table in build_tables(request, release).tables.items():
            wanted = json.loads(json.dumps(table.to_pylist()))
            found = outsider["rows"][f"{published} downloaded"].get(split, [])
            assert sorted(found, key=_key) == sorted(wanted, key=_key)


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["video_id"], row.get("question_id", "")


def test_every_row_has_its_clip(outsider: dict[str, Any], release: Path) -> None:
    wanted = {
        Path(clip).name: hashlib.sha256((release / "videos" / f"{clip}.mp4").read_bytes()).hexdigest() for clip in CLIPS
    }
    for key, found in outsider["sha"].items():
        assert found == {video_id: wanted[video_id] for video_id in found}
        assert len(found) == (12 if key.startswith("har") else 4)
    assert set(map(tuple, outsider["frames"].values())) == {(10, 3, 48, 64)}


def test_column_types_are_kept(outsider: dict[str, Any]) -> None:
    har = outsider["features har"]
    assert "'actions': List(ClassLabel(names=" in har and all(name in har for name in ACTION_NAMES)
    assert "'boxes': List(List(Value('float32')))" in har
    for config in outsider["configs"]:
        assert "'video': Video(" in outsider[f"features {config}"]
    assert "'answerable': Value('bool')" in outsider["features vqa"]


def test_texts_alone_are_a_small_download_and_a_clip_is_one_request(outsider: dict[str, Any]) -> None:
    texts, clips = outsider["asked for texts"], outsider["asked for clips"]
    assert not [request for request in texts if "/clips/" in request.path]
    assert sum(request.sent for request in texts) < 40_000
    assert outsider["decoded"] == 8
    files = [request.path for request in clips if "/resolve/" in request.path]
    assert len(files) == 8 and all("/clips/" in path for path in files)


# With the library, frames of a row that only refers to its clip.
_WITH_LIBRARY = """
import hashlib, json, sys
from datasets import Video, load_dataset
from microg4m_hf.data import open_clip
rows = load_dataset(sys.argv[1], "vqa", split="test").cast_column("video", Video(decode=False))
assert rows[0]["video"]["bytes"] is None
with open_clip(rows[0]["video"]) as clip:
    print(json.dumps([rows[0]["video_id"], clip.name, hashlib.sha256(clip.frames([3]).tobytes()).hexdigest()]))
"""


def test_open_clip_follows_the_reference_of_a_published_row(
    pushed: tuple[HubServer, str], release: Path, tmp_path: Path
) -> None:
    command = [warm_python(), "-c", _WITH_LIBRARY, NAME]
    environment = _environment(pushed[0], tmp_path, token=None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    video_id, name, digest = json.loads(done.stdout)
    (file,) = (release / "videos").rglob(f"{video_id}.mp4")
    with open_clip(file) as clip:
        assert digest == hashlib.sha256(clip.frames([3]).tobytes()).hexdigest()
    assert name == f"{video_id}.mp4"


# With an older `datasets`: the rows, and the mp4 of each row, without decoding.
_OLDER = """
import json, sys
import fsspec
from datasets import Video, load_dataset
found = {}
for config in ("har", "har_source_disjoint", "caption", "vqa"):
    for streaming in (False, True):
        heads = []
        for rows in load_dataset(sys.argv[1], config, streaming=streaming).values():
            for row in rows.cast_column("video", Video(decode=False)):
                video = row["video"]
                if video["bytes"] is None:
                    with fsspec.open(video["path"], "rb") as file:
                        video["bytes"] = file.read()
                heads.append(video["bytes"][4:8].decode())
        found[f"{config} {streaming}"] = heads
print(json.dumps(found))
"""


@pytest.mark.parametrize("version", ["3.6", "4.8"])
def test_older_versions_of_datasets(pushed: tuple[HubServer, str], version: str, tmp_path: Path) -> None:
    from tests.support.dataset_versions import DOWNLOAD_ERRORS, ensure_python, environments

    try:
        python = ensure_python(version, environments()[version])
    except subprocess.CalledProcessError as error:
        if any(sign in str(error.stderr) for sign in DOWNLOAD_ERRORS):
            pytest.skip(f"no network to make an environment with datasets {version}")
        raise
    command = [str(python), "-c", _OLDER, NAME]
    environment = _environment(pushed[0], tmp_path, token=None)
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {"har": 12, "har_source_disjoint": 12, "caption": 4, "vqa": 8}
    wanted = {
        f"{config} {streaming}": ["ftyp"] * count for config, count in rows.items() for streaming in (False, True)
    }
    assert json.loads(done.stdout) == wanted
