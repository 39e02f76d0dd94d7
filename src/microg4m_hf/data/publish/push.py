"""``push_dataset``: publish the dataset as a Hub repository that loads without this library.

``har`` is a dozen Parquet shards with the clips' bytes inside; ``caption`` and ``vqa`` refer to byte ranges of them.
``docs/publishing.md`` gives the reasons for this layout. Shards are uploaded one by one, and files that the Hub already
has (by hash) are not sent again. They are committed to a branch of their own and tagged with a hash of their content.
Only then does ``main`` change, in one commit that adds the rest and removes stale files, so that an interrupted push
leaves ``main`` as it was.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pyarrow.parquet as pq

from ...errors import HubError
from ...hub import BENCHMARK, http_status, hub_client, hub_errors, with_retries
from ...runtime import progress
from ...storage import cache_home
from .card import EVAL_YAML, card_facts, draw_card_pictures, render_card
from .plan import (
    CLIP_INDEX,
    Publication,
    PublishedFile,
    PushReport,
    build_clip_index,
    build_text_file,
    clips_tag,
    read_publication,
)
from .shards import SHARD_BYTES, write_shard

_BRANCH = "incoming-clips"
_OUR_FOLDERS = ("clips/", "caption/", "vqa/", "assets/")
_NOT_SUPPORTED = (404, 405, 501)  # the status that a server returns for an unknown request
_FILES_TO_IGNORE = {".gitattributes", ".gitignore", "README.md", "LICENSE"}


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
    """Publish a release as the Hub dataset ``repo_id``. Run it again to resume, or to upload only what changed.

    Args:
        repo_id: ``name/MicroG-4M``, created if it does not exist. A repository that holds other data is refused.
        data_dir: The folder with annotation files and clips; else ``source``.
        source: ``"sample"``, or the Hub as in :func:`microg4m_hf.load_dataset`.
        revision: The revision of the source.
        private: Make the repository private if it is created now.
        token: The Hub token, by default ``HF_TOKEN`` or the login of the Hub's own client.
        on_error: ``"skip"`` leaves out invalid rows.
        dry_run: Read and plan everything, upload nothing.
        shard_bytes: Clips per shard, in bytes; at most 500 MB to stay readable on the Hub.

    Returns:
        The commit to pin, the rows and files of the repository, and the clips that were loaded back.

    Raises:
        HubError: The Hub refuses the push, or the dataset loads back changed.
        SourceError: There is no release at ``data_dir`` or ``source``.

    Example:
        >>> push_dataset("me/MicroG-4M", data_dir="/no/such/folder")
        Traceback (most recent call last):
        microg4m_hf.errors.SourceError: data_dir '/no/such/folder' is not a folder; give the folder ...
    """
    publication = read_publication(
        data_dir=data_dir, source=source, revision=revision, on_error=on_error, shard_bytes=shard_bytes
    )
    facts = card_facts(repo_id, publication)  # fails here if the card cannot say where the clips come from
    if dry_run:
        sizes = {shard.path: int(shard.sizes.sum()) for shard in publication.shards}
        return PushReport(repo_id, publication.count_rows(), sizes, publication.clip_bytes, publication.left_out)
    from filelock import FileLock, Timeout

    from .verify import verify_push

    work = cache_home() / "push" / quote(repo_id, safe="")
    work.parent.mkdir(parents=True, exist_ok=True)
    with hub_errors(f"push to {repo_id}"):
        try:
            with FileLock(work.with_name(f"{work.name}.lock"), timeout=0):
                try:
                    report = _push(hub_client(token), repo_id, publication, facts, work, private)
                finally:
                    shutil.rmtree(work, ignore_errors=True)  # the lock belongs to this process, and so does the folder
        except Timeout:
            raise HubError(f"another process is pushing to {repo_id}; wait until it has finished") from None
    with hub_errors(f"load {repo_id} back, though it was pushed as commit {report.commit}"):
        report.checked_clips.extend(verify_push(report, publication, token))
    return report


def _push(
    api: Any, repo: str, publication: Publication, facts: Mapping[str, str], work: Path, private: bool
) -> PushReport:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    # huggingface_hub (0.24 to 2.4) retries neither of these two requests.
    url = str(with_retries(lambda: api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)))
    head = with_retries(lambda: api.dataset_info(repo)).sha
    # huggingface_hub 0.24 does not retry the pages of the list, later versions do.
    tree = with_retries(lambda: list(api.list_repo_tree(repo, repo_type="dataset", revision=head, recursive=True)))
    # path -> sha256 of large files, empty for small ones; folders have no blob
    existing = {file.path: file.lfs.sha256 if file.lfs else "" for file in tree if hasattr(file, "blob_id")}
    other = sorted(set(existing) - _FILES_TO_IGNORE)
    if other and CLIP_INDEX not in existing:
        raise HubError(
            f"the name {repo} is taken: the repository holds other data ({', '.join(other[:3])}, …); "
            "nothing was changed, choose another name"
        )
    additions, shards, ranges = _upload_shards(api, repo, publication, work)
    clip_index = build_clip_index(ranges)
    tag = clips_tag(shards)
    if _tag_shards(api, repo, tag, [*additions, CommitOperationAdd(CLIP_INDEX, clip_index)], head):
        shard_operations = [
            CommitOperationCopy(name, name, src_revision=tag)
            for name in shards
            if existing.get(name) != shards[name].sha256
        ]
    else:
        tag, shard_operations = "main", additions

    files, operations = dict(shards), [*shard_operations, CommitOperationAdd(CLIP_INDEX, clip_index)]
    for config, table in (("caption", publication.caption), ("vqa", publication.vqa)):
        if len(table):
            addition = CommitOperationAdd(f"{config}/test.parquet", build_text_file(config, table, repo, tag, ranges))
            operations.append(addition)
            files[addition.path_in_repo] = _describe(addition, len(table), table.nbytes)
    work.mkdir(parents=True, exist_ok=True)
    pictures = draw_card_pictures(publication, work)
    card = render_card(facts, files, pictures)
    kept = {*files, *pictures}
    stale = [name for name in existing if name.startswith(_OUR_FOLDERS) and name not in kept]
    if repo == BENCHMARK:  # eval.yaml declares a leaderboard, and every other repository is a copy
        operations.append(CommitOperationAdd("eval.yaml", EVAL_YAML.read_bytes()))
    elif with_retries(lambda: _declares_leaderboard(api, repo, head, existing)):
        stale.append("eval.yaml")
    operations += [
        CommitOperationAdd("README.md", card.encode()),
        *(CommitOperationAdd(name, content) for name, content in pictures.items()),
        *(CommitOperationDelete(name, is_folder=False) for name in stale),
    ]
    # Not retried: if only the answer was lost, the parent commit does not match any more.
    commit = api.create_commit(repo, operations, commit_message="MicroG-4M", repo_type="dataset", parent_commit=head)
    sizes = {name: file.size for name, file in files.items()}
    rows, skipped = publication.count_rows(), publication.left_out
    return PushReport(repo, rows, sizes, publication.clip_bytes, skipped, url, commit.oid, tag, stale)


def _declares_leaderboard(api: Any, repo: str, head: str, existing: dict[str, str]) -> bool:
    """Return whether the repository has the ``eval.yaml`` that earlier versions of this library pushed everywhere."""
    if "eval.yaml" not in existing:
        return False
    path = api.hf_hub_download(repo, "eval.yaml", repo_type="dataset", revision=head)
    return Path(path).read_bytes() == EVAL_YAML.read_bytes()


def _upload_shards(
    api: Any, repo: str, publication: Publication, work: Path
) -> tuple[list[Any], dict[str, PublishedFile], dict[str, tuple[str, int, int]]]:
    """Write and upload one shard after the other, so that the disk never holds more than one."""
    from huggingface_hub import CommitOperationAdd

    shutil.rmtree(work, ignore_errors=True)
    additions: list[Any] = []
    files: dict[str, PublishedFile] = {}
    ranges: dict[str, tuple[str, int, int]] = {}
    for shard in progress(publication.shards, f"pushing to {repo}", unit="shard"):
        local = work / shard.path
        for video_id, (offset, length) in write_shard(shard, local).items():
            ranges[video_id] = (shard.path, offset, length)
        addition = CommitOperationAdd(shard.path, local)
        rows = pq.read_metadata(local).num_rows
        files[shard.path] = _describe(addition, rows, shard.rows.nbytes + int(shard.sizes.sum()))
        # huggingface_hub 0.24 retries the upload itself, but not the two requests before it; later versions do.
        with_retries(lambda one=addition: api.preupload_lfs_files(repo, [one], repo_type="dataset"))  # type: ignore[misc]
        if isinstance(addition.path_or_fileobj, bytes):  # uploaded; a small file may be part of the commit instead
            local.unlink()
        additions.append(addition)
    return additions, files, ranges


def _describe(addition: Any, rows: int, arrow_size: int) -> PublishedFile:
    return PublishedFile(addition.upload_info.sha256.hex(), rows, addition.upload_info.size, arrow_size)


def _tag_shards(api: Any, repo: str, tag: str, additions: list[Any], head: str) -> bool:
    """Tag the shards without touching ``main``, and return whether this Hub supports that."""
    try:
        # huggingface_hub (0.24 to 2.4) does not retry this request.
        refs = with_retries(lambda: api.list_repo_refs(repo, repo_type="dataset"))
        if _BRANCH in {ref.name for ref in refs.branches}:  # of a push that was interrupted
            api.delete_branch(repo, branch=_BRANCH, repo_type="dataset")
        if tag in {ref.name for ref in refs.tags}:
            return True
        api.create_branch(repo, branch=_BRANCH, revision=head, repo_type="dataset")
    except OSError as error:
        status = http_status(error)
        if status not in _NOT_SUPPORTED:
            raise
        warnings.warn(
            f"this Hub keeps no branches and tags ({status}), so captions and questions refer to main; "
            "a pinned revision of them ends with the next push of other clips",
            stacklevel=2,
        )
        return False
    commit = api.create_commit(repo, additions, commit_message=f"clips of {tag}", repo_type="dataset", revision=_BRANCH)
    api.create_tag(repo, tag=tag, revision=commit.oid, repo_type="dataset", exist_ok=True)
    api.delete_branch(repo, branch=_BRANCH, repo_type="dataset")
    return True
