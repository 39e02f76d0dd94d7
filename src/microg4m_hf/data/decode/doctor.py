"""Which decoders are installed, which of them load, and what to do about the others; for ``microg4m env``."""

from __future__ import annotations

import platform
from importlib import metadata

from ...errors import MicroG4MError
from ...extras import installed
from . import decord, torchcodec
from .choose import BACKENDS

_DISTRIBUTION = {"pyav": "av", "decord": "decord", "torchcodec": "torchcodec"}


def decoders() -> dict[str, str]:
    """Backend -> its version, or what is wrong and how to get it. Really loads them, and torchcodec brings torch."""
    return {backend: _state(backend) for backend in BACKENDS}


def _state(backend: str) -> str:
    package = _DISTRIBUTION[backend]
    if not installed(package):
        return _how_to_get(backend)
    try:
        if backend == "decord":
            decord.load()
        elif backend == "torchcodec":
            torchcodec.load()
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
