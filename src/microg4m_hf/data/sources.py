"""Where the data set comes from: a local folder, the Hub, or the built-in sample; always one folder in the end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

from ..errors import DataError, MissingFileError, SourceError
from ..hub import hub_client, hub_errors, is_unreachable, with_retries
from ..storage import cache_home, write_atomic
from .release.layout import FILE_NAMES
from .unpack import unpack_clips

# Which files a Hub data set repository holds at a revision, remembered so that the next look needs no network.

# A Hub that does not answer is given up after this long; downloads have time limits of their own.
SECONDS_TO_ANSWER = 8.0


class Listing(NamedTuple):
    """The files of one commit of a repository."""

    repo: str
    sha: str
    files: tuple[str, ...]


def listing(repo: str, revision: str) -> Listing:
    """The files at a branch, tag or commit; what was seen last where the Hub cannot be reached.

    A whole commit sha never changes, so it is asked for only once.
    """
    remembered = _recall(repo, revision)
    if remembered and remembered.sha == revision:
        return remembered
    with hub_errors(f"read the data set {repo} at revision {revision}", error=SourceError):
        try:
            info = hub_client().dataset_info(repo, revision=revision, timeout=SECONDS_TO_ANSWER)
        except Exception as problem:
            if not is_unreachable(problem):
                raise
            if remembered:
                return remembered
            raise SourceError(f"the Hub cannot be reached for {repo} ({_reason(problem)})") from problem
    names = [file.rfilename for file in info.siblings or []]
    for name in names:
        _check_name(repo, name)
    found = Listing(repo, info.sha or revision, tuple(names))
    for known_as in {revision, found.sha}:
        write_atomic(_memory(repo, known_as), json.dumps({"sha": found.sha, "files": names}))
    return found


def fetch(where: Listing, name: str) -> Path:
    """Download one file into the Hub's own cache, unless it is there."""
    with hub_errors(f"download {name} of {where.repo}", error=SourceError):
        path = with_retries(
            lambda: hub_client().hf_hub_download(where.repo, name, repo_type="dataset", revision=where.sha)
        )
    return Path(path)


def _check_name(repo: str, name: str) -> None:
    parts = name.split("/")
    if "\\" in name or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise SourceError(f"{repo} lists a file {name!r} whose path leaves the folder; nothing of it is used")


def _memory(repo: str, revision: str) -> Path:
    return cache_home() / "hub" / "listings" / f"{quote(repo, safe='')}@{quote(revision, safe='')}.json"


def _recall(repo: str, revision: str) -> Listing | None:
    try:
        known = json.loads(_memory(repo, revision).read_text(encoding="utf-8"))
        sha, files = known["sha"], known["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not (isinstance(sha, str) and re.fullmatch(r"[0-9a-f]{40}", sha) and isinstance(files, list)):
        return None
    return Listing(repo, sha, tuple(map(str, files)))


def _reason(problem: BaseException) -> str:
    return (str(problem).strip() or type(problem).__name__).splitlines()[0][:160]


DATA_REPO = "LEI-QI-233/MicroG-4M"
SPLITS_REPO = "LEI-QI-233/MicroG-HAR-train-ready"
# What is read when no revision is given. The commit that it stands for is written into revisions.json of the folder.
REVISION = "main"
VIDEOS_ZIP = "videos.zip"

_ALWAYS = ("actions", "label_map", "ava_all", "ava_train", "ava_val", "ava_test")
_WANTED = {
    "har": (*_ALWAYS, "boxes", "val_predicted_boxes", "test_predicted_boxes"),
    "caption": (*_ALWAYS, "texts"),
    "vqa": (*_ALWAYS, "texts"),
}
# Without these a config has no rows at all; everything else is asked for where it is read.
_NEEDED = {"har": "actions", "caption": "texts", "vqa": "texts"}
_WAYS_OUT = (
    "three ways out: give data_dir= a folder with the released files, or connect to the Hub (log in with "
    "`hf auth login` where it asks for it), or try everything on the built-in sample with source='sample'"
)


def resolve_root(
    config: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
    videos: bool = True,
) -> Path:
    """The folder that holds what a config needs, in the authors' layout; from the Hub when nothing else is said.

    Args:
        config: ``"har"``, ``"caption"`` or ``"vqa"``; only its files are downloaded.
        data_dir: a local folder; nothing is downloaded.
        source: ``"sample"`` for the built-in sample, ``"hub"`` (the default) for the authors' repositories, or
            ``"org/repo"`` for a copy of them (``"org/data,org/splits"`` where the key-frame files lie in a second one).
        revision: commit, tag or branch of the data repository (``"a,b"`` to name one for each repository).
        videos: ``False`` leaves ``videos.zip`` alone.

    >>> resolve_root("har", data_dir="/no/such/folder")
    Traceback (most recent call last):
    microg4m_hf.errors.SourceError: data_dir '/no/such/folder' is not a folder; give the folder with the released files
    """
    if config not in _WANTED:
        raise DataError("unknown config", value=config, hint=f"use one of {', '.join(_WANTED)}")
    if data_dir is not None:
        if source is not None or revision is not None:
            other = "source=" if source is not None else "revision="
            raise DataError(f"data_dir= and {other} exclude each other", hint="a local folder is taken as it is")
        folder = Path(data_dir).expanduser()
        if not folder.is_dir():
            problem = "is a file, not a folder" if folder.exists() else "is not a folder"
            raise SourceError(f"data_dir {str(data_dir)!r} {problem}; give the folder with the released files")
        return folder
    if source == "sample":
        if revision is not None:
            raise DataError("the sample has no revisions", value=revision, hint="leave revision= out")
        from .sample import ensure_sample

        return ensure_sample()
    return _from_hub(config, _repositories(source), _revisions(revision), videos)


def _repositories(source: str | None) -> list[str]:
    if source in (None, "hub"):
        return [DATA_REPO, SPLITS_REPO]
    names = [name.strip() for name in str(source).split(",")]
    if len(names) > 2 or any(name.count("/") != 1 for name in names):
        hint = "use 'sample', 'hub', or a Hub repository such as 'org/repo'; local folders go to data_dir="
        raise DataError("unknown source", value=source, hint=hint)
    return names if len(names) == 2 else [*names, SPLITS_REPO]


def _revisions(revision: str | None) -> list[str]:
    names = [name.strip() for name in (revision or REVISION).split(",")]
    if len(names) > 2 or not all(names):
        raise DataError("unreadable revision", value=revision, hint="give one, or two with a comma between them")
    return names if len(names) == 2 else [*names, REVISION]


def _from_hub(config: str, repos: list[str], revisions: list[str], videos: bool) -> Path:
    try:
        places, chosen = _choose(config, repos, revisions)
    except SourceError as problem:
        raise SourceError(f"{problem}; {_WAYS_OUT}") from problem
    if _NEEDED[config] not in chosen:
        wanted = FILE_NAMES[_NEEDED[config]]
        raise MissingFileError(f"{places[0].repo} at {places[0].sha[:12]} holds no {wanted}; {_WAYS_OUT}", wanted)
    archive = _find(places, VIDEOS_ZIP) if videos else None
    if videos and archive is None:
        where = f"{places[0].repo} at {places[0].sha[:12]} holds no {VIDEOS_ZIP}"
        raise MissingFileError(f"{where}; videos=False does without clips, or {_WAYS_OUT}", VIDEOS_ZIP)
    commits = {place.repo: place.sha for place in places}
    root = _home_of(commits)
    root.mkdir(parents=True, exist_ok=True)
    for place, name in chosen.values():
        _put(place, name, root)
    write_atomic(root / "revisions.json", json.dumps(commits, indent=1))
    if archive is not None:
        _put_videos(*archive, root)
    return root


def _choose(
    config: str, repos: list[str], revisions: list[str]
) -> tuple[list[Listing], dict[str, tuple[Listing, str]]]:
    """The repositories that had to be asked, and which file of which one serves each field."""
    places = [listing(repos[0], revisions[0])]
    chosen: dict[str, tuple[Listing, str]] = {}
    for attempt in range(2):
        for field in _WANTED[config]:
            found = _find(places, FILE_NAMES[field])
            if found:
                chosen.setdefault(field, found)
        if attempt or {"ava_train", "ava_val", "ava_test"} <= chosen.keys():
            break
        places.append(listing(repos[1], revisions[1]))
    return places, chosen


def _find(places: list[Listing], pattern: str) -> tuple[Listing, str] | None:
    """The file with a base name that lies least deep, as in :func:`microg4m_hf.data.release.layout.find_layout`."""
    for place in places:
        names = [name for name in place.files if fnmatchcase(PurePosixPath(name).name, pattern)]
        if names:
            return place, min(names, key=lambda name: (name.count("/"), len(PurePosixPath(name).name), name))
    return None


def _home_of(commits: dict[str, str]) -> Path:
    digest = hashlib.sha256(json.dumps(commits).encode()).hexdigest()[:16]
    return cache_home() / "hub" / f"{next(iter(commits.values()))[:12]}-{digest}"


def _put(place: Listing, name: str, root: Path) -> None:
    """Copy a downloaded file to its place; a copy, so that nobody's edit reaches the Hub's cache."""
    target = root / name
    if target.is_file():
        return
    fetched = fetch(place, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        shutil.copyfile(fetched, scratch)
        os.chmod(scratch, 0o644)
        os.replace(scratch, target)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _put_videos(place: Listing, name: str, root: Path) -> None:
    target = root / "videos"
    if target.is_dir():
        return
    from filelock import FileLock

    # The system lets go of the lock when its holder dies, however it dies.
    with FileLock(root / ".videos.lock"):
        if not target.is_dir():
            unpack_clips(fetch(place, name), target)
