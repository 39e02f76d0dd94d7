"""Which decoder reads a clip: the one asked for, the fastest one, and PyAV where the others are wrong."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import numpy as np

from ...errors import ClipError
from . import pyav
from .index import Index
from .source import Source
from .unsuited import Unsuited

log = logging.getLogger("microg4m_hf.data")

# Fastest first, as benchmarks/decoding.py measures them. PyAV comes with the base install and leads the list.
BACKENDS = ("pyav", "decord", "torchcodec")
_said: set[str] = set()


def chosen(backend: str) -> str:
    """The name of the decoder to use; a ``MissingExtraError`` when the one asked for is not installed.

    >>> chosen("auto")
    'pyav'
    """
    if backend == "auto":
        _announce(logging.INFO, f"clips are decoded by PyAV {_version('av')}, the fastest decoder that is always right")
        return BACKENDS[0]
    if backend not in BACKENDS:
        raise ClipError(f"there is no decoder {backend!r}; choose one of auto, {', '.join(BACKENDS)}")
    if backend != "pyav":
        _module(backend).load()
    return backend


def pictures(source: Source, index: Index, wanted: list[int], backend: str) -> Iterator[tuple[int, np.ndarray]]:
    """(i, stored picture) of the wanted frames from the chosen decoder, or from PyAV where that one is not right."""
    if backend != "pyav":
        try:
            yield from _module(backend).read(source, index, wanted)
            return
        except Unsuited as cause:
            _announce(
                logging.WARNING, f"PyAV steps in for {backend}, which is not right for {cause}", _where(index, cause)
            )
    yield from pyav.read(index, wanted)


def _module(backend: str) -> Any:
    return importlib.import_module(f"{__package__}.{backend}")


def _version(distribution: str) -> str:
    return metadata.version(distribution)


def _where(index: Index, cause: Unsuited) -> str:
    detail = str(cause.__cause__ or "").strip().splitlines()
    return f"{index.name}: {detail[0]}" if detail else index.name


def _announce(level: int, text: str, clip: str = "") -> None:
    """Log once per process and cause, not once per clip."""
    if text not in _said:
        _said.add(text)
        log.log(level, f"{text} (first seen in {clip})" if clip else text)
