"""Choose the decoder of a clip: the requested or the fastest one, and PyAV where the others are wrong."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

from ...errors import ClipError, MicroG4MError
from ...extras import is_installed, require
from . import pyav
from .index import FrameIndex
from .other_decoders import UnsupportedClipError, load_decord, load_torchcodec, read_decord, read_torchcodec
from .source import ClipSource

log = logging.getLogger("microg4m_hf.data")

# Fastest first, as benchmarks/decoding.py measures them. PyAV comes with the base install.
BACKENDS = ("pyav", "decord", "torchcodec")
_LOAD: dict[str, Callable[[], Any]] = {"decord": load_decord, "torchcodec": load_torchcodec}
_READ = {"decord": read_decord, "torchcodec": read_torchcodec}
_logged: set[str] = set()


def resolve_backend(backend: str) -> str:
    """Return the name of the decoder to use.

    Args:
        backend: One of ``BACKENDS``, or ``"auto"``.

    Raises:
        ClipError: There is no such decoder.
        MissingExtraError: The decoder is not installed.

    Example:
        >>> resolve_backend("auto")
        'pyav'
    """
    if backend == "auto":
        if backend not in _logged:  # finding out the version takes as long as opening a clip
            _logged.add(backend)
            log.info("clips are decoded by PyAV %s, the fastest decoder that is always right", metadata.version("av"))
        return BACKENDS[0]
    if backend not in BACKENDS:
        raise ClipError(f"there is no decoder {backend!r}; choose one of auto, {', '.join(BACKENDS)}")
    if backend != "pyav":
        _LOAD[backend]()
    return backend


def read_stored_frames(
    source: ClipSource, index: FrameIndex, wanted: list[int], backend: str, part: pyav.Part | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (i, stored frame) of the wanted frames, from PyAV where the requested decoder is not right.

    With ``part``, yield only that part of each frame. An array is valid until the next one is yielded.
    """
    if backend != "pyav":
        top, left, bottom, right = part or (0, 0, index.height, index.width)
        try:
            for i, frame in _READ[backend](source, index, wanted):
                yield i, frame[top:bottom, left:right]
            return
        except UnsupportedClipError as error:
            detail = str(error.__cause__ or "").strip().splitlines()
            clip = f"{index.name}: {detail[0]}" if detail else index.name
            _log_once(logging.WARNING, f"using PyAV instead of {backend}, which is not right for {error}", clip)
    yield from pyav.decode_rgb(index, wanted, part)


def backend_status() -> dict[str, str]:
    """Return the version of each decoder, or what is wrong with it and how to install it, for ``microg4m env``.

    The decoders are really loaded, and torchcodec imports torch.
    """
    return {backend: _status(backend) for backend in BACKENDS}


def _status(backend: str) -> str:
    package = "av" if backend == "pyav" else backend
    if not is_installed(package):
        return _install_hint(backend)
    try:
        _LOAD[backend]() if backend in _LOAD else require("av", "reading clips")
    except (MicroG4MError, ImportError, OSError, RuntimeError) as error:
        return f"does not load: {error}"
    return metadata.version(package)


def _install_hint(backend: str) -> str:
    if backend == "pyav":
        return "missing: pip install av"
    machine = f"{platform.system()} {platform.machine()}"
    if backend == "decord" and machine not in {"Linux x86_64", "Windows AMD64"}:
        return f"missing: it has no wheels for {machine}; not needed, PyAV decodes the same frames faster"
    more = " and FFmpeg's shared libraries (Debian: apt-get install ffmpeg)" if backend == "torchcodec" else ""
    return f"missing, not needed: pip install 'microg4m-hf[{backend}]'{more}"


def _log_once(level: int, text: str, clip: str = "") -> None:
    """Log once per process and cause, not once per clip."""
    if text not in _logged:
        _logged.add(text)
        log.log(level, f"{text} (first seen in {clip})" if clip else text)
