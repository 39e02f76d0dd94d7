"""Where a request finds its annotation files, and the fingerprint under which its rows are cached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import SourceError
from .fingerprint import code_fingerprint, data_fingerprint
from .layout import find_layout
from .request import Request
from .sources import resolve_root


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
    try:
        root = _resolve(request, videos=False)
    except SourceError as error:
        if request.is_local:
            raise
        return Whereabouts(None, "unreachable", str(error))
    # What came from the Hub lies in a folder named by its commits, and its clips may not be there yet.
    data = data_fingerprint(find_layout(root), request.config, videos=request.videos and request.is_local)
    # The rows hold the paths of the clips, so the folder counts where there are clips.
    folder = str(root) if request.videos else ""
    digest = hashlib.sha256("\n".join((code_fingerprint(), data, folder)).encode())
    return Whereabouts(str(root), digest.hexdigest()[:32])


def with_clips(request: Request, whereabouts: Whereabouts) -> Path:
    """The folder, with the clips where they are wanted: they are fetched if they are not at hand."""
    folder = whereabouts.folder()
    if not request.videos or request.is_local or (folder / "videos").is_dir():
        return folder
    if _resolve(request, videos=True) != folder:
        raise SourceError("the Hub repository was changed at this very moment; run the same command again")
    return folder


def _resolve(request: Request, *, videos: bool) -> Path:
    return resolve_root(
        request.config,
        data_dir=request.data_dir,
        source=request.source,
        revision=request.revision,
        videos=videos,
    )
