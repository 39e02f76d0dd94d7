"""Which files a Hub data set repository holds at a revision, remembered so that the next look needs no network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from ..errors import SourceError
from ..hub import client, explained, patiently, unreachable
from ..storage import cache_home, write_atomic

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
    with explained(f"read the data set {repo} at revision {revision}", error=SourceError):
        try:
            info = client().dataset_info(repo, revision=revision, timeout=SECONDS_TO_ANSWER)
        except Exception as problem:
            if not unreachable(problem):
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
    with explained(f"download {name} of {where.repo}", error=SourceError):
        path = patiently(lambda: client().hf_hub_download(where.repo, name, repo_type="dataset", revision=where.sha))
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
