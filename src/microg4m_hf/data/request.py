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

    The fields are the arguments of ``microg4m_hf.load_dataset``. ``scheme=None`` stands for the official splits of
    ``har``, and for a single split of the others. ``data_dir`` is made absolute, so that a later change of the working
    directory changes nothing.

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
        allowed = {"config": CONFIGS, "scheme": SCHEMES, "domain": DOMAIN_FOLDERS, "on_error": ON_ERROR}
        for name, choices in allowed.items():
            value = getattr(self, name)
            if value not in choices and not (value is None and name in ("scheme", "domain")):
                hint = f"use {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
                raise DataError(f"unknown {name}", value=value, hint=hint)
        if not isinstance(self.videos, bool):
            raise DataError("videos= must be True or False", value=self.videos, hint="leave it out to load clips")
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
