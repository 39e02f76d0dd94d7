"""Find the folder of a release: a local one, the built-in sample, or a download from the Hub.

The file list of a Hub repository is remembered, so that the next look at the same revision works without a network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

from ..errors import DataError, MissingFileError, SourceError
from ..hub import hub_client, hub_errors, is_unreachable, with_retries
from ..storage import cache_home, write_atomic
from .release.layout import FILE_NAMES, VIDEOS_ZIP
from .unpack import unpack_clips, unpack_release

DATA_REPO = "LEI-QI-233/MicroG-4M"
SPLITS_REPO = "LEI-QI-233/MicroG-HAR-train-ready"
# What is read by default. The commit is written to revisions.json in the folder.
REVISION = "main"
HUB_TIMEOUT = 8.0  # seconds for the file list; downloads have time limits of their own

_SHARED_FILES = ("actions", "label_map", "ava_all", "ava_train", "ava_val", "ava_test")
_FILES = {
    "har": (*_SHARED_FILES, "boxes", "val_predicted_boxes", "test_predicted_boxes"),
    "caption": (*_SHARED_FILES, "texts"),
    "vqa": (*_SHARED_FILES, "texts"),
}
# Without this file a config has no rows; the code that reads the other files checks whether it needs them.
_REQUIRED_FILE = {"har": "actions", "caption": "texts", "vqa": "texts"}
_ALTERNATIVES = (
    "three ways out: give data_dir= a folder with the released files, or connect to the Hub (log in with "
    "`hf auth login` if it asks you to), or try everything on the built-in sample with source='sample'"
)


def resolve_root(
    config: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
    videos: bool = True,
) -> Path:
    """Return the folder with the files of a config, in the authors' layout; download what is missing.

    Args:
        config: ``"har"``, ``"caption"`` or ``"vqa"``; only its files are downloaded.
        data_dir: A local folder; nothing is downloaded. Its ``videos.zip`` is unpacked if the clips are needed and not
            there yet.
        source: ``"sample"`` for the built-in sample, ``"hub"`` (the default) for the authors' repositories, or
            ``"org/repo"`` for a copy of them (``"org/data,org/splits"`` if the key-frame files are in a second one).
        revision: Commit, tag or branch of the data repository (``"a,b"`` to name one for each repository).
        videos: Whether the clips are needed; ``False`` does not download ``videos.zip``.

    Raises:
        DataError: If the arguments are unknown or exclude each other.
        SourceError: If there is no such folder or repository, or the Hub cannot be reached.

    Example:
        >>> resolve_root("har", data_dir="/no/such/folder")
        Traceback (most recent call last):
        microg4m_hf.errors.SourceError: data_dir '/no/such/folder' is not a folder; give the folder with the ...
    """
    if config not in _FILES:
        raise DataError("unknown config", value=config, hint=f"use one of {', '.join(_FILES)}")
    if data_dir is not None:
        if source is not None or revision is not None:
            other = "source=" if source is not None else "revision="
            raise DataError(f"data_dir= and {other} exclude each other", hint="leave one of them out")
        folder = Path(data_dir).expanduser()
        if not folder.is_dir():
            problem = "is a file, not a folder" if folder.exists() else "is not a folder"
            raise SourceError(f"data_dir {str(data_dir)!r} {problem}; give the folder with the released files")
        if videos:
            unpack_release(folder)
        return folder
    if source == "sample":
        if revision is not None:
            raise DataError("the sample has no revisions", value=revision, hint="leave revision= out")
        from .sample import ensure_sample

        return ensure_sample()
    return _download(config, _repositories(source), _revisions(revision), videos)


def benchmark_commit(
    *, data_dir: str | os.PathLike[str] | None = None, source: str | None = None, revision: str | None = None
) -> str | None:
    """Return the commit of the authors' data that these arguments read last, or None for other or unknown data.

    >>> benchmark_commit(source="sample") is None, benchmark_commit(data_dir="/data/films") is None
    (True, True)
    """
    if data_dir is not None or source == "sample" or _repositories(source) != [DATA_REPO, SPLITS_REPO]:
        return None
    known = _recall(DATA_REPO, _revisions(revision)[0])
    return known.sha if known else None


def _repositories(source: str | None) -> list[str]:
    if source in (None, "hub"):
        return [DATA_REPO, SPLITS_REPO]
    names = [name.strip() for name in str(source).split(",")]
    if len(names) > 2 or any(name.count("/") != 1 for name in names):
        hint = "use 'sample', 'hub', or a Hub repository such as 'org/repo'; pass a local folder as data_dir="
        raise DataError("unknown source", value=source, hint=hint)
    return names if len(names) == 2 else [*names, SPLITS_REPO]


def _revisions(revision: str | None) -> list[str]:
    names = [name.strip() for name in (revision or REVISION).split(",")]
    if len(names) > 2 or not all(names):
        raise DataError("invalid revision", value=revision, hint="give one, or two separated by a comma")
    return names if len(names) == 2 else [*names, REVISION]


def _download(config: str, names: list[str], revisions: list[str], videos: bool) -> Path:
    try:
        repos = [list_files(names[0], revisions[0])]
        files = _find_files(config, repos)
        if not {"ava_train", "ava_val", "ava_test"} <= files.keys():
            repos.append(list_files(names[1], revisions[1]))
            files = _find_files(config, repos)
    except SourceError as problem:
        raise SourceError(f"{problem}; {_ALTERNATIVES}") from problem
    where = f"{repos[0].repo} at {repos[0].sha[:12]} contains no"
    if _REQUIRED_FILE[config] not in files:
        name = FILE_NAMES[_REQUIRED_FILE[config]]
        raise MissingFileError(f"{where} {name}; {_ALTERNATIVES}", name)
    archive = _find(repos, VIDEOS_ZIP) if videos else None
    if videos and archive is None:
        text = f"{where} {VIDEOS_ZIP}; load without clips (videos=False), or {_ALTERNATIVES}"
        raise MissingFileError(text, VIDEOS_ZIP)
    commits = {repo.repo: repo.sha for repo in repos}
    digest = hashlib.sha256(json.dumps(commits).encode()).hexdigest()[:16]
    root = cache_home() / "hub" / f"{repos[0].sha[:12]}-{digest}"
    _check_places([name for _, name in files.values()], repos[0].repo)
    for repo, name in files.values():
        if not (root / name).is_file():  # a copy, so that an edit of it does not reach the cache of the Hub
            write_atomic(root / name, download_file(repo, name).read_bytes())
    write_atomic(root / "revisions.json", json.dumps(commits, indent=1))
    if archive is not None and not (root / "videos").is_dir():
        from filelock import FileLock

        with FileLock(root / ".videos.lock"):  # the operating system releases the lock of a process that dies
            if not (root / "videos").is_dir():
                unpack_clips(download_file(*archive), root / "videos", elsewhere="set MICROG4M_HOME to a larger disk")
    return root


def _check_places(names: list[str], repo: str) -> None:
    """Refuse files that would lie where this module puts the clips, its notes or another file."""
    taken = {"videos", "revisions.json"}
    for name in names:
        top = name.split("/")[0].casefold()
        folders = {str(parent).casefold() for parent in PurePosixPath(name).parents}
        if top in taken or top.startswith(".videos") or folders & {other.casefold() for other in names}:
            raise SourceError(f"{repo} has {name!r}, a place that is used for something else; use another repository")


def pinned_revision(root: str | os.PathLike[str] | None) -> str | None:
    """Return the commits of a folder that was downloaded from the Hub, as ``revision=`` takes them, or ``None``."""
    try:
        commits = json.loads(Path(root or "", "revisions.json").read_text(encoding="utf-8"))
        return ",".join(str(commit) for commit in commits.values()) or None
    except (OSError, ValueError, AttributeError):
        return None


class RepoFiles(NamedTuple):
    """The files of one commit of a Hub repository."""

    repo: str
    sha: str
    files: tuple[str, ...]


def _find_files(config: str, repos: list[RepoFiles]) -> dict[str, tuple[RepoFiles, str]]:
    """Return the repository and the path of each file that a config reads, by the fields of ``Layout``."""
    found = {field: _find(repos, FILE_NAMES[field]) for field in _FILES[config]}
    return {field: place for field, place in found.items() if place}


def _find(repos: list[RepoFiles], pattern: str) -> tuple[RepoFiles, str] | None:
    """Return the least deep file of that base name, as :func:`microg4m_hf.data.release.layout.find_layout` does."""
    for repo in repos:
        names = [name for name in repo.files if fnmatchcase(PurePosixPath(name).name, pattern)]
        if names:
            return repo, min(names, key=lambda name: (name.count("/"), len(PurePosixPath(name).name), name))
    return None


def list_files(repo: str, revision: str) -> RepoFiles:
    """Return the files at a branch, tag or commit, or the list seen last if the Hub cannot be reached.

    The files of a full commit sha never change, so they are requested only once.
    """
    remembered = _recall(repo, revision)
    if remembered and remembered.sha == revision:
        return remembered
    with hub_errors(f"read the dataset {repo} at revision {revision}", error=SourceError):
        try:
            info = hub_client().dataset_info(repo, revision=revision, timeout=HUB_TIMEOUT)
        except Exception as problem:
            if not is_unreachable(problem):
                raise
            if remembered:
                return remembered
            reason = (str(problem).strip() or type(problem).__name__).splitlines()[0][:160]
            raise SourceError(f"the Hub cannot be reached for {repo} ({reason})") from problem
    names = [file.rfilename for file in info.siblings or []]
    for name in names:
        parts = name.split("/")
        if "\\" in name or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
            raise SourceError(f"{repo} lists a file {name!r} whose path leaves the folder; use another repository")
    found = RepoFiles(repo, info.sha or revision, tuple(names))
    for known_as in {revision, found.sha}:
        write_atomic(_memory(repo, known_as), json.dumps({"sha": found.sha, "files": names}))
    return found


def _memory(repo: str, revision: str) -> Path:
    return cache_home() / "hub" / "listings" / f"{quote(repo, safe='')}@{quote(revision, safe='')}.json"


def _recall(repo: str, revision: str) -> RepoFiles | None:
    try:
        known = json.loads(_memory(repo, revision).read_text(encoding="utf-8"))
        sha, files = known["sha"], known["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not (isinstance(sha, str) and re.fullmatch(r"[0-9a-f]{40}", sha) and isinstance(files, list)):
        return None
    return RepoFiles(repo, sha, tuple(map(str, files)))


def download_file(where: RepoFiles, name: str) -> Path:
    """Download one file into the cache of the Hub, unless it is there."""
    with hub_errors(f"download {name} of {where.repo}", error=SourceError):
        client = hub_client()
        # huggingface_hub (0.24 to 2.4) does not retry a file that the server answers with 5xx.
        path = with_retries(lambda: client.hf_hub_download(where.repo, name, repo_type="dataset", revision=where.sha))
    return Path(path)
