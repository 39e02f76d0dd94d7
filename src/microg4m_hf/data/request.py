"""What a caller asked for: checked at once, passed on as one small object that travels to worker processes."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

from ..errors import DataError
from .features import CONFIGS
from .keyframes import SPLITS
from .layout import DOMAIN_FOLDERS
from .problems import OnError
from .schemes import SCHEMES

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
