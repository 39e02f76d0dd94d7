"""The local Hub answers huggingface_hub as the real one does, and fails on request."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from tests.support.hub_server import HubServer

NAME = "me/things"


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    api = HfApi(hub.endpoint, token="hf_test")
    api.create_repo(NAME, repo_type="dataset")
    return api


def _commit(api: HfApi, **files: bytes) -> str:
    operations = [CommitOperationAdd(path.replace("__", "/"), content) for path, content in files.items()]
    return api.create_commit(NAME, operations, commit_message="files", repo_type="dataset").oid


def test_small_and_large_files_come_back_at_every_revision(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    first = _commit(api, **{"data__a.parquet": b"one" * 1000, "README.md": b"# one"})
    api.create_tag(NAME, tag="v1", repo_type="dataset")
    second = _commit(api, **{"data__a.parquet": b"two" * 1000})
    assert {file.path for file in api.list_repo_tree(NAME, "data", repo_type="dataset")} == {"data/a.parquet"}
    for revision, content in (("v1", b"one"), (first, b"one"), (second, b"two"), ("main", b"two")):
        path = api.hf_hub_download(
            NAME, "data/a.parquet", repo_type="dataset", revision=revision, cache_dir=tmp_path / "cache"
        )
        assert Path(path).read_bytes() == content * 1000
    assert hub.uploads == 2  # the README is small enough to travel in the commit
    assert [commit.commit_id for commit in api.list_repo_commits(NAME, repo_type="dataset")][:2] == [second, first]


def test_the_same_content_is_uploaded_once(hub: HubServer, api: HfApi) -> None:
    _commit(api, **{"a.parquet": b"x" * 100})
    _commit(api, **{"b.parquet": b"x" * 100})
    assert hub.uploads == 1
    assert hub.repo("dataset", NAME).tree()["b.parquet"].size == 100


def test_files_can_be_deleted_and_ranges_read(hub: HubServer, api: HfApi) -> None:
    import urllib.request

    _commit(api, **{"a.parquet": bytes(range(100)), "b.txt": b"b"})
    api.create_commit(NAME, [CommitOperationDelete("b.txt")], commit_message="less", repo_type="dataset")
    assert "b.txt" not in hub.repo("dataset", NAME).tree()
    url = f"{hub.endpoint}/datasets/{NAME}/resolve/main/a.parquet"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=10-19"})) as answer:
        assert (answer.status, answer.read()) == (206, bytes(range(10, 20)))
        assert answer.headers["Content-Range"] == "bytes 10-19/100"


def test_errors_are_those_of_the_real_hub(hub: HubServer, api: HfApi) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("me/nothing")
    with pytest.raises(RevisionNotFoundError):
        api.dataset_info(NAME, revision="nowhere")
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(NAME, "missing.txt", repo_type="dataset")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(NAME, repo_type="dataset")
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_repo("somebody/things", repo_type="dataset")
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi(hub.endpoint, token="hf_wrong").create_repo("me/more", repo_type="dataset")
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi(hub.endpoint, token=False).create_repo("me/more", repo_type="dataset")


def test_private_repositories_are_hidden_from_others(hub: HubServer) -> None:
    hub.put("model", "me/secret", {"config.json": b"{}"}, private=True)
    assert HfApi(hub.endpoint, token="hf_test").model_info("me/secret").private
    with pytest.raises(RepositoryNotFoundError):
        HfApi(hub.endpoint, token=False).model_info("me/secret")


def test_a_commit_is_all_or_nothing(hub: HubServer, api: HfApi) -> None:
    before = hub.repo("dataset", NAME).sha
    with pytest.raises(HfHubHTTPError):
        api.create_commit(
            NAME,
            [CommitOperationAdd("new.txt", b"new"), CommitOperationDelete("missing.txt", is_folder=False)],
            commit_message="half",
            repo_type="dataset",
        )
    assert hub.repo("dataset", NAME).sha == before


def test_requests_fail_on_request_and_then_work(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    _commit(api, **{"a.parquet": b"x" * 10_000})
    hub.fail("GET", "resolve/main/a.parquet", cut=True)
    path = api.hf_hub_download(NAME, "a.parquet", repo_type="dataset", cache_dir=tmp_path / "cache")
    assert Path(path).read_bytes() == b"x" * 10_000
    assert [answer.sent for answer in hub.requested("resolve/.*a.parquet")] == [5_000, 10_000]
    hub.fail("PUT", status=500)
    _commit(api, **{"b.parquet": b"y"})
    assert hub.repo("dataset", NAME).read("b.parquet") == b"y"


def test_an_action_runs_when_an_upload_arrives(hub: HubServer, api: HfApi) -> None:
    seen: list[int] = []
    hub.when_uploaded(2, lambda: seen.append(hub.uploads))
    for number in range(3):
        _commit(api, **{f"{number}.parquet": bytes([number])})
    assert seen == [2]


def test_spaces_and_models_work_too(hub: HubServer) -> None:
    api = HfApi(hub.endpoint, token="hf_test")
    api.create_repo("org/metric", repo_type="space", space_sdk="gradio")
    api.upload_file(path_or_fileobj=b"# app", path_in_repo="app.py", repo_id="org/metric", repo_type="space")
    assert hub.repo("space", "org/metric").read("app.py") == b"# app"
    api.create_repo("org/model")
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="org/model")
    assert api.file_exists("org/model", "config.json")
    api.delete_repo("org/model")
    assert not api.repo_exists("org/model")
