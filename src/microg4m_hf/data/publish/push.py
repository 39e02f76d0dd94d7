"""``push_dataset``: the data set as a Hub repository that serves people who do not have this library.

Why this form. The clips are most of the bytes, and ``har`` is what needs all of them, again and again: so ``har`` is
Parquet shards with the clips' bytes embedded. That is a dozen files instead of 4,759 (the Hub gives an anonymous
reader 3,000 file requests in five minutes), streams in row groups of 32 MB, is shown by the viewer, and is local
after one download. Its shards are cut by both schemes at once, so ``har`` and ``har_source_disjoint`` are globs over
the same files. ``caption`` and ``vqa`` must not hold the bytes again, and still have a ``Video``: theirs is a
reference to a range of a shard (where the bytes are stored plain for that), which ``datasets`` opens with fsspec, see
:func:`microg4m_hf.data.publish.plan.reference`. Texts alone are thus a small download, and a clip is one request when
it is decoded.

The price: the clips of ``caption`` and ``vqa`` need the network each time they are decoded, and up to 5 MB of
read-ahead (the card says how to take them from a downloaded ``har`` instead); a private repository needs the Hub's
own login for them; a copy of the repository under another name still refers to this one. The alternatives were
weighed with ``datasets`` 5.2: loose mp4 files run into the rate limit, a ``videofolder`` downloads file by file and is
misread by 3.6, zip archives cost four requests a clip to stream, and embedding the bytes in all configs stores them
three times.

How a push cannot go wrong half-way. Shards are uploaded one by one, and what the Hub already has (by hash) is not
sent again. They are committed to a branch of their own, tagged with a name made of their content, and only then does
``main`` change, in one commit that adds the rest and removes what is stale. Until then readers see the old state.
"""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pyarrow.parquet as pq

from ...errors import HubError
from ...hub import http_status, hub_client, hub_errors, with_retries
from ...runtime import progress
from ...storage import cache_home
from .card import EVAL_YAML, PublishedFile
from .plan import (
    INDEX,
    Publication,
    card_of,
    clips_tag,
    file_of,
    index_of_clips,
    read_publication,
    texts_with_references,
)
from .shards import SHARD_BYTES, write_shard

_BRANCH = "incoming-clips"
_OURS = ("clips/", "caption/", "vqa/")
_NOT_KNOWN = (404, 405, 501)  # what servers say to a request that they do not know
_HARMLESS = {".gitattributes", ".gitignore", "README.md", "LICENSE"}


@dataclass(frozen=True)
class PushReport:
    """What a push did; ``commit`` is the revision to pin, empty after a dry run."""

    repo_id: str
    url: str
    commit: str
    clips_tag: str
    rows: dict[str, dict[str, int]]
    files: dict[str, int]  # Parquet file -> bytes
    clip_bytes: int
    left_out: str = ""  # in words, with on_error="skip"
    removed: list[str] = field(default_factory=list)
    checked_clips: list[str] = field(default_factory=list)


def push_dataset(
    repo_id: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
    private: bool = False,
    token: str | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    dry_run: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> PushReport:
    """Publish a release as the Hub data set ``repo_id``; running it again goes on, and changes only what changed.

    Args:
        repo_id: ``name/MicroG-4M``; made if it is not there. One that holds other data is refused.
        data_dir: the folder with annotation files and clips; else ``source``.
        source: ``"sample"``, or the Hub as in :func:`microg4m_hf.load_dataset`.
        revision: the revision of the source.
        private: make the repository private if it is made now.
        token: else ``HF_TOKEN`` or the Hub's own login.
        on_error: ``"skip"`` leaves out rows that cannot be right.
        dry_run: read and plan everything, send nothing.
        shard_bytes: clips per shard, at most 500 MB to stay readable on the Hub.

    >>> push_dataset("me/MicroG-4M", data_dir="/no/such/folder")
    Traceback (most recent call last):
    microg4m_hf.errors.SourceError: data_dir '/no/such/folder' is not a folder; give the folder with the released files
    """
    publication = read_publication(
        data_dir=data_dir, source=source, revision=revision, on_error=on_error, shard_bytes=shard_bytes
    )
    if dry_run:
        planned = {shard.path: int(shard.sizes.sum()) for shard in publication.shards}
        return PushReport(
            repo_id, "", "", "", publication.rows(), planned, publication.clip_bytes, publication.left_out
        )
    from filelock import FileLock, Timeout

    from .verify import check_published

    work = cache_home() / "push" / quote(repo_id, safe="")
    work.parent.mkdir(parents=True, exist_ok=True)
    api = hub_client(token)
    with hub_errors(f"push to {repo_id}"):
        try:
            with FileLock(work.with_name(f"{work.name}.lock"), timeout=0):
                report = _push(api, repo_id, publication, work, private)
        except Timeout:
            raise HubError(f"another process pushes to {repo_id} at the moment; wait for it") from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
    with hub_errors(f"load {repo_id} back, though it was pushed as commit {report.commit}"):
        report.checked_clips.extend(check_published(report, publication, token))
    return report


def _push(api: Any, repo: str, publication: Publication, work: Path, private: bool) -> PushReport:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    url = str(with_retries(lambda: api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)))
    head = with_retries(lambda: api.dataset_info(repo)).sha
    there = _contents(api, repo, head)
    _refuse_other_data(repo, there)
    additions, shards, places = _upload_shards(api, repo, publication, work)
    index = CommitOperationAdd(INDEX, index_of_clips(places))
    tag = clips_tag(shards)
    if _tag_shards(api, repo, tag, [*additions, index], head):
        of_shards = [
            CommitOperationCopy(name, name, src_revision=tag)
            for name in shards
            if there.get(name) != shards[name].sha256
        ]
    else:
        tag, of_shards = "main", additions

    tables = {"caption": publication.caption, "vqa": publication.vqa}
    texts = {
        f"{config}/test.parquet": texts_with_references(config, table, repo, tag, places)
        for config, table in tables.items()
        if len(table)
    }
    files = shards | {name: file_of(content, tables[name.split("/")[0]]) for name, content in texts.items()}
    card = card_of(repo, publication, files)
    stale = [name for name in there if name.startswith(_OURS) and name not in files]
    operations = [
        *of_shards,
        CommitOperationAdd(INDEX, index_of_clips(places)),
        *(CommitOperationAdd(name, content) for name, content in texts.items()),
        CommitOperationAdd("eval.yaml", EVAL_YAML.read_bytes()),
        CommitOperationAdd("README.md", card.encode()),
        *(CommitOperationDelete(name, is_folder=False) for name in stale),
    ]
    commit = api.create_commit(
        repo,
        operations,
        commit_message="MicroG-4M",
        repo_type="dataset",
        parent_commit=head,
    )
    sizes = {name: file.size for name, file in files.items()}
    return PushReport(
        repo, url, commit.oid, tag, publication.rows(), sizes, publication.clip_bytes, publication.left_out, stale
    )


def _contents(api: Any, repo: str, sha: str) -> dict[str, str]:
    """Path -> sha256 of the large files at a commit, empty for small ones."""
    tree = with_retries(lambda: list(api.list_repo_tree(repo, repo_type="dataset", revision=sha, recursive=True)))
    return {file.path: file.lfs.sha256 if file.lfs else "" for file in tree if hasattr(file, "blob_id")}


def _refuse_other_data(repo: str, there: dict[str, str]) -> None:
    other = sorted(set(there) - _HARMLESS)
    if other and INDEX not in there:
        raise HubError(
            f"the name {repo} is taken: the repository holds other data ({', '.join(other[:3])}, …); "
            "nothing was changed, choose another name"
        )


def _upload_shards(
    api: Any, repo: str, publication: Publication, work: Path
) -> tuple[list[Any], dict[str, PublishedFile], dict[str, tuple[str, int, int]]]:
    """Write and upload one shard after the other; the disk never holds more than one."""
    from huggingface_hub import CommitOperationAdd

    shutil.rmtree(work, ignore_errors=True)
    additions: list[Any] = []
    files: dict[str, PublishedFile] = {}
    places: dict[str, tuple[str, int, int]] = {}
    for shard in progress(publication.shards, f"pushing to {repo}", unit="shard"):
        local = work / shard.path
        for video_id, (offset, length) in write_shard(shard, local).items():
            places[video_id] = (shard.path, offset, length)
        addition = CommitOperationAdd(shard.path, local)
        arrow_size = shard.rows.nbytes + int(shard.sizes.sum())
        sha256 = addition.upload_info.sha256.hex()
        rows = pq.read_metadata(local).num_rows
        files[shard.path] = PublishedFile(sha256, rows, local.stat().st_size, arrow_size)
        with_retries(lambda one=addition: api.preupload_lfs_files(repo, [one], repo_type="dataset"))  # type: ignore[misc]
        if isinstance(addition.path_or_fileobj, bytes):  # uploaded; a small file may travel in the commit instead
            local.unlink()
        additions.append(addition)
    return additions, files, places


def _tag_shards(api: Any, repo: str, tag: str, additions: list[Any], head: str) -> bool:
    """Give the shards a revision that never moves, without touching ``main``; whether this Hub can do that."""
    try:
        refs = with_retries(lambda: api.list_repo_refs(repo, repo_type="dataset"))
        if _BRANCH in {one.name for one in refs.branches}:  # of a push that did not come to its end
            api.delete_branch(repo, branch=_BRANCH, repo_type="dataset")
        if tag in {one.name for one in refs.tags}:
            return True
        api.create_branch(repo, branch=_BRANCH, revision=head, repo_type="dataset")
    except OSError as problem:
        if http_status(problem) not in _NOT_KNOWN:
            raise
        text = f"this Hub keeps no branches and tags ({http_status(problem)}), so captions and questions refer to main"
        warnings.warn(f"{text}; a pinned revision of them ends with the next push of other clips", stacklevel=2)
        return False
    commit = api.create_commit(repo, additions, commit_message=f"clips of {tag}", repo_type="dataset", revision=_BRANCH)
    api.create_tag(repo, tag=tag, revision=commit.oid, repo_type="dataset", exist_ok=True)
    api.delete_branch(repo, branch=_BRANCH, repo_type="dataset")
    return True
