"""What a run ran on, written beside its results: answers of two library versions may differ."""

from __future__ import annotations

import platform
import sys
import time
from importlib import metadata
from typing import Any

from .._version import __version__

_PACKAGES = ("accelerate", "av", "bitsandbytes", "numpy", "peft", "tokenizers", "torch", "torchvision", "transformers")


def environment(world: int = 1) -> dict[str, Any]:
    """Versions, machine and date.

    >>> environment()["processes"]
    1
    """
    found: dict[str, Any] = {
        "microg4m-hf": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processes": world,
        "packages": {},
    }
    for name in _PACKAGES:
        try:
            found["packages"][name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["device"] = torch.cuda.get_device_name()
    return found
