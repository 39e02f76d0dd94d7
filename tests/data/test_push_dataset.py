"""A push that is killed, refused or cut off is resumed by the next one; nothing is lost or uploaded twice."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data.publish import verify
from microg4m_hf.data.publish.card import EVAL_YAML
from microg4m_hf.data.publish.plan import PushReport
from microg4m_hf.data.publish.push import push_dataset
from microg4m_hf.errors import HubError, MicroG4MError
from microg4m_hf.storage import cache_home
from tests.support.hub_release import tiny_release
from tests.support.hub_server import HubServer
from tests.support.hub_store import Repo

NAME = "me/MicroG-4M"
SMALL = 9_000  # bytes per shard: more shards, so that there is a middle to be killed in


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def undisturbed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tree that an undisturbed push leaves."""
    with pytest.MonkeyPatch.context() as patch, HubServer(tmp_path_factory.mktemp("hub")) as hub:
        _use_hub(hub, tmp_path_factory.mktemp("home"), patch)
        push(release)
        return tree(hub.repo("dataset", NAME))


@pytest.fixture(autouse=True)
def use_hub(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _use_hub(hub, tmp_path, monkeypatch)


def _use_hub(hub: HubServer, home: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HF_ENDPOINT", hub.endpoint)
    patch.setenv("HF_TOKEN", "hf_test")
    patch.setenv("MICROG4M_HOME", str(home / "home"))
    # `datasets` reads its endpoint when it is imported, so only tests with a process of their own load back.
    patch.setattr(verify, "verify_push", lambda *_: ["not verified"])


def push(release: Path, **options: object) -> PushReport:
    return push_dataset(NAME, data_dir=str(release), shard_bytes=SMALL, **options)  # type: ignore[arg-type]


def tree(repo: Repo) -> dict[str, str]:
    return {path: entry.sha256 for path, entry in repo.tree().items()}


_PUSH = """
import sys
from microg4m_hf.data.publish.push import push_dataset
push_dataset("me/MicroG-4M", data_dir=sys.argv[1], shard_bytes=9000)
"""


def test_a_killed_push_is_resumed(hub: HubServer, release: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PUSH, str(release)]
    child = subprocess.Popen(command, env={**os.environ, **hub.environment()}, stderr=subprocess.DEVNULL)
    hub.when_uploaded(3, child.kill)
    assert child.wait() == -9
    repo = hub.repo("dataset", NAME)
    assert set(tree(repo)) == {".gitattributes"}  # nothing incomplete that could be loaded
    arrived = [request.path for request in hub.requested("/lfs/", "PUT")]
    push(release)
    assert tree(repo) == undisturbed
    sent = [request.path for request in hub.requested("/lfs/", "PUT")]
    assert len(sent) == len(set(sent)) and set(arrived) <= set(sent)
    assert not list((tmp_path / "home" / "push").glob("*MicroG-4M"))  # no shard is left behind


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/commit/incoming-clips"),
        ("POST", "/tag/"),
        ("DELETE", "/branch/incoming-clips"),
        ("POST", "/commit/main"),
    ],
)
def test_a_push_that_fails_late_leaves_main_as_it_was_and_is_resumed(
    hub: HubServer, release: Path, undisturbed: dict[str, str], method: str, path: str
) -> None:
    hub.fail(method, path, status=403)
    with pytest.raises(HubError, match=r"cannot push to me/MicroG-4M: .* this token has no write permission there"):
        push(release)
    repo = hub.repo("dataset", NAME)
    assert set(tree(repo)) == {".gitattributes"}
    sent = len(hub.requested("/lfs/", "PUT"))
    push(release)
    assert tree(repo) == undisturbed
    assert len(repo.tags) == 1
    assert len(hub.requested("/lfs/", "PUT")) - sent <= 2  # the shards are there; captions and questions may not be


def test_every_request_survives_a_server_error_and_a_lost_connection(
    hub: HubServer, release: Path, undisturbed: dict[str, str], quick_retries: None
) -> None:
    requests = [
        ("POST", "/api/repos/create"),
        ("GET", f"/api/datasets/{NAME}$"),
        ("GET", "/tree/"),
        ("POST", "/preupload/"),
        ("POST", "/objects/batch"),
        ("PUT", "/lfs/"),
        ("GET", "/refs"),
    ]
    for method, path in requests:
        hub.fail(method, path, status=503)
        hub.fail(method, path, cut=True)
    push(release)
    assert not [fault for fault in hub.faults if fault.times]
    assert tree(hub.repo("dataset", NAME)) == undisturbed


def test_repeating_a_push_changes_nothing(hub: HubServer, release: Path) -> None:
    first = push(release)
    sent = len(hub.requested("/lfs/", "PUT"))
    again = push(release)
    assert again.commit == first.commit
    assert len(hub.requested("/lfs/", "PUT")) == sent
    assert len(list(hub.repo("dataset", NAME).history())) == 2


def test_changed_texts_do_not_change_the_clips(hub: HubServer, release: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(release, tmp_path / "changed")
    first = push(release)
    texts = json.loads((changed / "vqa_and_captioning.json").read_text())
    texts[0]["caption"] = "Another caption."
    (changed / "vqa_and_captioning.json").write_text(json.dumps(texts))
    second = push(changed)
    assert (second.clips_tag, second.removed) == (first.clips_tag, [])
    repo = hub.repo("dataset", NAME)
    differing = {path for path, sha in tree(repo).items() if repo.tree(first.commit)[path].sha256 != sha}
    # The card has the version of the config, and its picture shows the caption.
    assert differing == {"caption/test.parquet", "README.md", "assets/clips.jpg"}


def test_only_the_benchmark_itself_declares_the_leaderboard(
    hub: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(release)
    copy = hub.repo("dataset", NAME)
    assert "eval.yaml" not in tree(copy)
    hub.put("dataset", NAME, {"eval.yaml": EVAL_YAML.read_bytes()})  # as earlier versions pushed it
    assert push(release).removed == ["eval.yaml"] and "eval.yaml" not in tree(copy)
    hub.put("dataset", NAME, {"eval.yaml": b"name: a benchmark of their own"})
    assert push(release).removed == [] and "eval.yaml" in tree(copy)
    monkeypatch.setattr("microg4m_hf.data.publish.push.BENCHMARK", "me/Benchmark")
    push_dataset("me/Benchmark", data_dir=str(release))
    assert "eval.yaml" in tree(hub.repo("dataset", "me/Benchmark"))


def test_files_have_a_page_index(hub: HubServer, release: Path) -> None:
    push(release)
    repo = hub.repo("dataset", NAME)
    files = [name for name in repo.tree() if name.endswith(".parquet")]
    assert {name.split("/")[0] for name in files} == {"clips", "caption", "vqa"}
    for name in files:
        group = pq.ParquetFile(io.BytesIO(repo.read(name))).metadata.row_group(0)
        column = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "video_id")
        assert column.has_column_index and column.has_offset_index, name


def test_stale_shards_are_removed_and_the_old_revision_stays(hub: HubServer, release: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(release, tmp_path / "changed")
    first = push(release)
    for table in changed.rglob("*.csv"):
        kept = [line for line in table.read_text().splitlines(keepends=True) if not line.startswith("Mir_005")]
        table.write_text("".join(kept))
    second = push(changed)
    repo = hub.repo("dataset", NAME)
    assert second.removed and not set(second.removed) & set(repo.tree())
    assert set(second.files) == {path for path in repo.tree() if path.endswith(".parquet")}
    assert second.clips_tag != first.clips_tag and set(repo.tags) == {first.clips_tag, second.clips_tag}
    assert set(second.removed) <= set(repo.tree(first.clips_tag)) & set(repo.tree(first.commit))


def test_a_commit_made_during_the_push_is_not_overwritten(hub: HubServer, release: Path) -> None:
    push(release)
    repo = hub.repo("dataset", NAME)
    hub.when_uploaded(1, lambda: hub.put("dataset", NAME, {"NOTES.md": b"another commit"}))
    with pytest.raises(HubError, match="another commit arrived"):
        push_dataset(NAME, data_dir=str(release), shard_bytes=2 * SMALL)
    push_dataset(NAME, data_dir=str(release), shard_bytes=2 * SMALL)
    assert repo.read("NOTES.md") == b"another commit"


def test_files_of_a_failed_push_do_not_get_into_the_next(hub: HubServer, release: Path, tmp_path: Path) -> None:
    hub.fail("POST", "/tag/", status=403)
    with pytest.raises(HubError):
        push_dataset(NAME, data_dir=str(release), shard_bytes=3 * SMALL)
    assert len(hub.repo("dataset", NAME).branches) == 2
    report = push(release)
    at_tag = {path for path in hub.repo("dataset", NAME).tree(report.clips_tag) if path.startswith("clips/")}
    assert at_tag == {path for path in report.files if path.startswith("clips/")}


def test_a_hub_without_branches_gets_the_data_too(hub: HubServer, release: Path, undisturbed: dict[str, str]) -> None:
    hub.fail("POST", "/branch/", status=404, times=2)
    for _ in range(2):
        with pytest.warns(UserWarning, match="keeps no branches and tags"):
            report = push(release)
    repo = hub.repo("dataset", NAME)
    assert report.clips_tag == "main" and len(list(repo.history())) == 2
    for path, sha in undisturbed.items():
        if path.startswith("clips"):
            assert repo.tree()[path].sha256 == sha
    push(release)  # now the Hub supports branches
    assert tree(repo) == undisturbed


def test_other_data_under_the_name_is_refused(hub: HubServer, release: Path) -> None:
    before = hub.put("dataset", NAME, {"data/train.parquet": b"somebody's work", "README.md": b"# mine"})
    with pytest.raises(HubError, match=r"the name me/MicroG-4M is taken: .* \(data/train\.parquet"):
        push(release)
    assert hub.repo("dataset", NAME).sha == before and not hub.uploads


@pytest.mark.parametrize(
    ("repo", "token", "message"),
    [
        (NAME, "hf_wrong", "the token is missing or invalid; run `hf auth login`"),
        (
            "somebody/MicroG-4M",
            "hf_test",
            "this account may not read it, or this token has no write permission there; ",
        ),
        ("me/MicroG 4M", "hf_test", "this is not a repository name"),
    ],
)
def test_the_command_prints_a_refusal_in_one_line(
    hub: HubServer,
    release: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    repo: str,
    token: str,
    message: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert main(["data", "push", repo, "--data-dir", str(release)]) == 2
    printed = capsys.readouterr().err.strip()
    assert printed.startswith(f"microg4m: cannot push to {repo}: {message}") and "\n" not in printed
    assert not hub.store.repos


def test_an_unreachable_hub_is_reported(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="the Hub cannot be reached"):
        push(release)


def test_a_dry_run_sends_nothing(hub: HubServer, release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "push", NAME, "--data-dir", str(release), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "train 7, validation 2, test 3" in printed and "nothing was uploaded" in printed
    assert not hub.requests


def test_invalid_rows_are_refused_or_left_out_by_name(hub: HubServer, release: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(release, tmp_path / "changed")
    (changed / "videos/real/ISS/ISS_001.mp4").unlink()
    with pytest.raises(MicroG4MError, match="ISS_001"):
        push(changed)
    assert not hub.requests  # everything is checked before anything is uploaded
    report = push(changed, on_error="skip")
    assert "ISS_001" in report.left_out
    assert (sum(report.rows["har"].values()), report.rows["caption"]["test"]) == (11, 3)


def test_a_private_repository_is_made_private(hub: HubServer, release: Path) -> None:
    push(release, private=True)
    assert hub.repo("dataset", NAME).private


def test_a_second_push_at_the_same_time_leaves_the_files_of_the_first(
    hub: HubServer, release: Path, tmp_path: Path
) -> None:
    """While a shard of the first push is on its way, the second one is refused and touches nothing."""
    seen: list[tuple[set[str], set[str]]] = []

    def names() -> set[str]:
        return {path.name for path in (cache_home() / "push").rglob("*.parquet")}

    def push_again() -> None:
        before = names()
        with pytest.raises(HubError, match="another process is pushing to me/MicroG-4M"):
            push(release)
        seen.append((before, names()))

    hub.when_uploaded(1, push_again)
    push(release)
    ((before, after),) = seen
    assert before == after != set()
