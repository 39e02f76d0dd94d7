"""Progress bars for long work, on the main process only."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Any, TypeVar

from ._version import __version__

T = TypeVar("T")


def is_main_process() -> bool:
    """Whether this process may print; launchers number their processes in ``RANK``.

    >>> is_main_process()
    True
    """
    return rank_and_world_size()[0] == 0


def progress(items: Iterable[T], what: str, *, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Iterate with a bar on standard error; silent on other ranks and where nobody watches.

    >>> list(progress([1, 2], "counting"))
    [1, 2]
    """
    from tqdm import tqdm

    quiet = not is_main_process() or not sys.stderr.isatty()
    yield from tqdm(items, desc=what, total=total, unit=unit, disable=quiet, leave=False)


# Which of several processes this is. ``accelerate launch`` and ``torchrun`` say so in the environment.
#
# No process group is made: the processes share nothing but the run folder, so none waits for another, none is lost with
# another, and nothing has to be torn down at the end.


def rank_and_world_size() -> tuple[int, int]:
    """The number of this process, and how many there are.

    >>> rank_and_world_size()
    (0, 1)
    """
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def local_device() -> str:
    """The accelerator of this process, or the CPU."""
    import torch

    if torch.cuda.is_available():
        return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


# What a run ran on, written beside its results: answers of two library versions may differ.

_PACKAGES = ("accelerate", "av", "bitsandbytes", "numpy", "peft", "tokenizers", "torch", "torchvision", "transformers")


def describe_environment(world: int = 1) -> dict[str, Any]:
    """Versions, machine and date.

    >>> describe_environment()["processes"]
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
