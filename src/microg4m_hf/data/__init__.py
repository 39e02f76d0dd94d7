"""Annotations in, datasets out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clip import Clip, open_clip, read_frames
    from .decode.probe import ClipInfo, probe
    from .leak import leak_report
    from .load import load_dataset
    from .plans import every, uniform, window
    from .publish import push_dataset
    from .release import Release, read_release
    from .sample import ensure_sample

# Public name -> module that holds it; imported on first use, so that `import microg4m_hf` stays instant.
_HOME_OF = {
    "Clip": "clip",
    "ClipInfo": "decode.probe",
    "Release": "release",
    "ensure_sample": "sample",
    "every": "plans",
    "leak_report": "leak",
    "load_dataset": "load",
    "open_clip": "clip",
    "probe": "decode.probe",
    "push_dataset": "publish",
    "read_frames": "clip",
    "read_release": "release",
    "uniform": "plans",
    "window": "plans",
}

__all__ = [
    "Clip",
    "ClipInfo",
    "Release",
    "ensure_sample",
    "every",
    "leak_report",
    "load_dataset",
    "open_clip",
    "probe",
    "push_dataset",
    "read_frames",
    "read_release",
    "uniform",
    "window",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
