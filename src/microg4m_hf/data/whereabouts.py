"""Where a request finds its annotation files, and the fingerprint under which its rows are cached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import SourceError
from ..storage import cache_home
from .fingerprint import code_fingerprint, data_fingerprint
from .layout import find_layout
from .request import Request


@dataclass(frozen=True)
class Whereabouts:
    """Folder and fingerprint; without a folder, the reason why there is none."""

    root: str | None
    fingerprint: str
    problem: str = ""

    def folder(self) -> Path:
        if self.root is None:
            raise SourceError(self.problem)
        return Path(self.root)


def locate(request: Request) -> Whereabouts:
    """Find the annotation files of a request, but not yet its clips, which may be a large download.

    A Hub that cannot be reached is told only when rows are wanted: names and features need no data.
    """
    local = request.data_dir is not None or request.source is not None
    try:
        root = annotations_of(request)
    except SourceError as error:
        if local:
            raise
        return Whereabouts(None, "unreachable", str(error))
    data = data_fingerprint(find_layout(root), request.config, videos=request.videos)
    # Clips that come from the Hub are unpacked below the cache home, where the paths in the rows will point.
    home = "" if local or not request.videos else str(cache_home())
    digest = hashlib.sha256("\n".join((code_fingerprint(), data, home)).encode())
    return Whereabouts(str(root), digest.hexdigest()[:32])


def annotations_of(request: Request) -> Path:
    """The folder with the annotation files."""
    return _resolve(request, videos=False)


def with_clips(request: Request, whereabouts: Whereabouts) -> Path:
    """The folder with annotation files and clips; fetches and unpacks the clips where they are not at hand."""
    folder = whereabouts.folder()
    return _resolve(request, videos=True) if request.videos else folder


def _resolve(request: Request, *, videos: bool) -> Path:
    try:
        from .sources import resolve_root
    except ImportError:
        if request.data_dir:
            return Path(request.data_dir)
        from .sample import ensure_sample

        return ensure_sample()
    return Path(
        resolve_root(
            request.config,
            data_dir=request.data_dir,
            source=request.source,
            revision=request.revision,
            videos=videos,
        )
    )
