"""What a caller asked for: checked at once, passed on as one small object that travels to worker processes."""

from __future__ import annotations

import functools
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import DataError, SourceError
from .features import CONFIGS
from .release.clip_files import listed_clips
from .release.faults import OnError
from .release.key_frames import SPLITS
from .release.layout import DOMAIN_FOLDERS, FILE_NAMES, Layout, find_layout
from .sources import resolve_root
from .splits import SCHEMES

POLICIES = ("raise", "skip")


@dataclass(frozen=True)
class Request:
    """One config of the data set, from one place, divided and filtered in one way.

    >>> Request("vqa").splits, Request("vqa", scheme="official").splits
    (('test',), ('train', 'validation', 'test'))
    """

    config: str
    data_dir: str | None = None
    source: str | None = None
    revision: str | None = None
    scheme: str | None = None  # None: har is divided officially, captions and questions not at all
    domain: str | None = None
    videos: bool = True
    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        if self.config is None:
            raise DataError("no config is named", hint=f"name one of {', '.join(map(repr, CONFIGS))}")
        _one_of(self.config, CONFIGS, "config")
        if self.scheme is not None:
            _one_of(self.scheme, SCHEMES, "scheme")
        if self.domain is not None:
            _one_of(self.domain, DOMAIN_FOLDERS, "domain")
        _one_of(self.on_error, POLICIES, "on_error")
        if not isinstance(self.videos, bool):
            raise DataError("videos= must be True or False", value=self.videos)
        if self.data_dir is not None:
            # The working directory may change before the rows are read, and must not decide what the cache finds.
            object.__setattr__(self, "data_dir", os.path.abspath(os.path.expanduser(os.fspath(self.data_dir))))
        if self.config == "har" and self.scheme == "official":
            object.__setattr__(self, "scheme", None)

    @property
    def is_local(self) -> bool:
        """Whether the files lie on this machine and may change at any time; the Hub's are pinned by commits."""
        return self.data_dir is not None or self.source == "sample"

    @property
    def division(self) -> str | None:
        """The scheme that divides the rows, or None where all of them are one split ``test``."""
        return self.scheme or ("official" if self.config == "har" else None)

    @property
    def splits(self) -> tuple[str, ...]:
        return SPLITS if self.division else ("test",)

    def said(self) -> dict[str, Any]:
        """The fields that differ from their defaults, so that one request has one place in the cache."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "config"}
        return {name: value for name, value in given.items() if value != _DEFAULTS[name]}


_DEFAULTS = {field.name: field.default for field in fields(Request)}


def _one_of(value: object, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        hint = f"use {', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
        raise DataError(f"unknown {what}", value=value, hint=hint)


# What the cache of ``datasets`` goes by: a hash of the data in use and of the code that reads it.

_NOT_READ = {"har": {"texts"}, "caption": {"boxes"}, "vqa": {"boxes"}}


@functools.cache
def code_fingerprint() -> str:
    """A hash of the version and of every source file that can change a row.

    >>> len(code_fingerprint())
    64
    """
    folder = Path(__file__).parent
    digest = hashlib.sha256(__version__.encode())
    rules = [folder.parent / name for name in ("clip_ids.py", "taxonomy.py")]
    for path in sorted([*folder.rglob("*.py"), *rules]):
        digest.update(path.relative_to(folder.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def data_fingerprint(layout: Layout, config: str, *, videos: bool) -> str:
    """A hash of the annotation files that a config reads and, with ``videos``, of the names and sizes of the clips."""
    names = sorted(FILE_NAMES.keys() - _NOT_READ[config])
    paths = [path for name in names if (path := getattr(layout, name)) is not None]
    digest = hashlib.sha256(config.encode())
    with ThreadPoolExecutor(2) as pool:  # hashing leaves the interpreter lock alone
        clips = pool.submit(_clips_fingerprint, layout.videos) if videos and layout.videos else None
        for path, content in zip(paths, pool.map(_file_fingerprint, paths), strict=True):
            digest.update(f"{layout.name(path)}\0{content}\n".encode())
        if clips:
            digest.update(f"{layout.videos}\0{clips.result()}\n".encode())
    return digest.hexdigest()


def _file_fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _clips_fingerprint(videos: Path) -> str:
    lines = sorted(f"{clip.path}\0{clip.size}" for clip in listed_clips(videos))
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()


# Where a request finds its annotation files, and the fingerprint under which its rows are cached.


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
