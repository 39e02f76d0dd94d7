"""Find the files of a request and compute the fingerprint under which ``datasets`` caches its rows."""

from __future__ import annotations

import functools
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import SourceError
from .release.clip_files import list_clips
from .release.layout import FILE_NAMES, Layout, find_layout
from .request import Request
from .sources import pinned_revision, resolve_root

# The code that decides what is in a row: `tables.py`, what it imports, and the builder. Cached rows are used again
# after a change of any other file. A test compares this list with the imports of `tables.py`.
ROW_CODE = (
    *("clip_ids.py", "taxonomy.py"),
    *("data/builder.py", "data/features.py", "data/request.py", "data/splits.py", "data/tables.py"),
    "data/release/*.py",
    *("data/video/h264.py", "data/video/index.py", "data/video/mp4.py", "data/video/probe.py", "data/video/source.py"),
)
_UNREAD_FILES = {
    "har": {"texts", "orientation"},
    "caption": {"boxes", "orientation"},
    "vqa": {"boxes", "orientation"},
}


@dataclass(frozen=True)
class ResolvedRequest:
    """The folder of a request and its fingerprint; without a folder, the reason why there is none."""

    root: str | None
    fingerprint: str
    problem: str = ""

    def folder(self) -> Path:
        """Return the folder, or raise the error that came up while it was looked for."""
        if self.root is None:
            raise SourceError(self.problem)
        return Path(self.root)


def resolve_request(request: Request) -> ResolvedRequest:
    """Find the annotation files of a request, but not yet its clips if they are a large download.

    If the Hub cannot be reached, the error is raised when rows are read: names and features need no data.
    """
    try:
        root = _resolve(request, videos=request.videos and request.is_local)
    except SourceError as error:
        if request.is_local:
            raise
        return ResolvedRequest(None, "unreachable", str(error))
    # A folder downloaded from the Hub is named by its commits, and its clips may not be there yet.
    data = data_fingerprint(find_layout(root), request.config, videos=request.videos and request.is_local)
    # The rows hold the paths of the clips, so the folder is part of the fingerprint if there are clips.
    folder = str(root) if request.videos else ""
    digest = hashlib.sha256("\n".join((code_fingerprint(), data, folder)).encode())
    return ResolvedRequest(str(root), digest.hexdigest()[:32])


def fetch_clips(request: Request, resolved: ResolvedRequest) -> Path:
    """Return the folder of a request, after downloading the clips if the request needs them and they are missing."""
    folder = resolved.folder()
    if not request.videos or request.is_local or (folder / "videos").is_dir():
        return folder
    if _resolve(request, videos=True) != folder:
        raise SourceError("the Hub repository was changed during the download; run the same command again")
    return folder


def origin_of(request: Request, resolved: ResolvedRequest) -> dict[str, Any]:
    """Return the arguments that find the same clips in the same splits again: a revision of the Hub as its commit."""
    where = {name: getattr(request, name) for name in ("data_dir", "source", "revision", "domain")}
    if not request.is_local:
        where |= {"source": request.source or "hub", "revision": pinned_revision(resolved.root) or request.revision}
    return where | {"scheme": request.split_scheme}


def _resolve(request: Request, *, videos: bool) -> Path:
    where = {"data_dir": request.data_dir, "source": request.source, "revision": request.revision}
    return resolve_root(request.config, **where, videos=videos)


@functools.cache
def code_fingerprint() -> str:
    """Return a hash of the version and of the source files that shape the rows."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(path for pattern in ROW_CODE for path in package.glob(pattern)):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def data_fingerprint(layout: Layout, config: str, *, videos: bool) -> str:
    """Return a hash of the annotation files of a config and, with ``videos``, of the names and sizes of the clips."""
    names = sorted(FILE_NAMES.keys() - _UNREAD_FILES[config])
    paths = [path for name in names if (path := getattr(layout, name)) is not None]
    digest = hashlib.sha256(config.encode())
    with ThreadPoolExecutor(2) as pool:  # hashing releases the interpreter lock
        clips = pool.submit(_hash_clips, layout.videos) if videos and layout.videos else None
        contents = pool.map(lambda path: hashlib.sha256(path.read_bytes()).hexdigest(), paths)
        for path, content in zip(paths, contents, strict=True):
            digest.update(f"{layout.name(path)}\0{content}\n".encode())
        if clips:
            digest.update(f"{layout.videos}\0{clips.result()}\n".encode())
    return digest.hexdigest()


def _hash_clips(videos: Path) -> str:
    lines = sorted(f"{path}\0{size}" for path, size in list_clips(videos))
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()
