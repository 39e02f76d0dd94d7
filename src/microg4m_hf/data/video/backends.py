"""Which decoder reads a clip: the one asked for, the fastest one, and PyAV where the others are wrong."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

from ...errors import ClipError, MicroG4MError
from ...extras import is_installed
from . import pyav
from .index import Index
from .other_decoders import Unsuited, load_decord, load_torchcodec, read_decord, read_torchcodec
from .source import Source

log = logging.getLogger("microg4m_hf.data")

# Fastest first, as benchmarks/decoding.py measures them. PyAV comes with the base install and leads the list.
BACKENDS = ("pyav", "decord", "torchcodec")
_LOAD: dict[str, Callable[[], Any]] = {"decord": load_decord, "torchcodec": load_torchcodec}
_READ = {"decord": read_decord, "torchcodec": read_torchcodec}
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
        _LOAD[backend]()
    return backend


def pictures(source: Source, index: Index, wanted: list[int], backend: str) -> Iterator[tuple[int, np.ndarray]]:
    """(i, stored picture) of the wanted frames from the chosen decoder, or from PyAV where that one is not right."""
    if backend != "pyav":
        try:
            yield from _READ[backend](source, index, wanted)
            return
        except Unsuited as cause:
            _announce(
                logging.WARNING, f"PyAV steps in for {backend}, which is not right for {cause}", _where(index, cause)
            )
    yield from pyav.read(index, wanted)


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


# Which decoders are installed, which of them load, and what to do about the others; for ``microg4m env``.

_DISTRIBUTION = {"pyav": "av", "decord": "decord", "torchcodec": "torchcodec"}


def decoders() -> dict[str, str]:
    """Backend -> its version, or what is wrong and how to get it. Really loads them, and torchcodec brings torch."""
    return {backend: _state(backend) for backend in BACKENDS}


def _state(backend: str) -> str:
    package = _DISTRIBUTION[backend]
    if not is_installed(package):
        return _how_to_get(backend)
    try:
        if backend in _LOAD:
            _LOAD[backend]()
        else:
            import av  # noqa: F401
    except (MicroG4MError, ImportError, OSError, RuntimeError) as error:
        return f"does not load: {error}"
    return metadata.version(package)


def _how_to_get(backend: str) -> str:
    if backend == "pyav":
        return "missing: pip install av"
    if backend == "decord" and (platform.system(), platform.machine()) not in {
        ("Linux", "x86_64"),
        ("Windows", "AMD64"),
    }:
        machine = f"{platform.system()} {platform.machine()}"
        return f"missing: it has no wheels for {machine}; nothing is lost, PyAV decodes the same frames faster"
    more = " and FFmpeg's shared libraries (Debian: apt-get install ffmpeg)" if backend == "torchcodec" else ""
    return f"missing, not needed: pip install 'microg4m-hf[{backend}]'{more}"
