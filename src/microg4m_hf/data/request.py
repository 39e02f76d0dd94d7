"""Validate what a caller asks for and keep it in one small object that travels to worker processes."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

from ..errors import DataError
from .features import CONFIGS
from .release.faults import ON_ERROR, OnError
from .release.key_frames import SPLITS
from .release.layout import DOMAIN_FOLDERS
from .splits import SCHEMES


@dataclass(frozen=True)
class Request:
    """One config of the dataset: where it comes from, how it is split, and which rows are kept.

    Args:
        config: ``"har"``, ``"caption"`` or ``"vqa"``.
        data_dir: A local folder with the released files; made absolute, so that a later change of the working
            directory changes nothing.
        source: ``"sample"``, or a repository on the Hub.
        revision: Commit, tag or branch of the Hub repository.
        scheme: How to split the rows. By default ``har`` has the official splits and the texts are one split.
        domain: Keep only clips of this domain.
        videos: Whether rows refer to the files of their clips.
        on_error: Whether to raise the first fault of a file, or to skip faulty rows.

    Raises:
        DataError: If a value is not one of those that exist.

    Example:
        >>> Request("vqa").splits, Request("vqa", scheme="official").splits
        (('test',), ('train', 'validation', 'test'))
    """

    config: str
    data_dir: str | None = None
    source: str | None = None
    revision: str | None = None
    scheme: str | None = None
    domain: str | None = None
    videos: bool = True
    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        if self.config is None:
            raise DataError("no config is named", hint=f"name one of {', '.join(map(repr, CONFIGS))}")
        _check_choice("config", self.config, CONFIGS)
        if self.scheme is not None:
            _check_choice("scheme", self.scheme, SCHEMES)
        if self.domain is not None:
            _check_choice("domain", self.domain, DOMAIN_FOLDERS)
        _check_choice("on_error", self.on_error, ON_ERROR)
        if not isinstance(self.videos, bool):
            raise DataError("videos= must be True or False", value=self.videos)
        if self.data_dir is not None:
            object.__setattr__(self, "data_dir", os.path.abspath(os.path.expanduser(os.fspath(self.data_dir))))
        if self.config == "har" and self.scheme == "official":
            object.__setattr__(self, "scheme", None)  # the default: one request has one place in the cache

    @property
    def is_local(self) -> bool:
        """Whether the files are on this machine and may change at any time; those of the Hub are pinned by commits."""
        return self.data_dir is not None or self.source == "sample"

    @property
    def split_scheme(self) -> str | None:
        """The scheme that splits the rows, or None if all of them are in one split ``test``."""
        return self.scheme or ("official" if self.config == "har" else None)

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""
        return SPLITS if self.split_scheme else ("test",)

    def config_kwargs(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, so that one request has one place in the cache."""
        options = [field for field in fields(self) if field.name != "config"]
        return {field.name: value for field in options if (value := getattr(self, field.name)) != field.default}


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        hint = f"use {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
        raise DataError(f"unknown {name}", value=value, hint=hint)
