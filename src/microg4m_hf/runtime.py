"""The process a job runs in: its rank, device, progress bars, memory and environment.

``accelerate launch`` and ``torchrun`` pass rank and world size in the environment. They are read from there, so no
process group is needed: the processes of a job share only its run folder and never wait for each other.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ._version import __version__
from .extras import is_installed, package_versions

T = TypeVar("T")


def rank_and_world_size() -> tuple[int, int]:
    """Return the rank of this process and the number of processes, ``(0, 1)`` without a launcher.

    >>> rank_and_world_size()
    (0, 1)
    """
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return whether this is the process that prints and writes the shared files.

    >>> is_main_process()
    True
    """
    return rank_and_world_size()[0] == 0


def local_device() -> str:
    """Return the accelerator that belongs to this process, or ``"cpu"``."""
    import torch

    if torch.cuda.is_available():
        return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def progress(items: Iterable[T], what: str, *, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Iterate with a progress bar on standard error, on the main process and in a terminal only.

    Args:
        items: What to iterate over.
        what: The label in front of the bar.
        total: The number of items, when ``items`` has no length.
        unit: The name of one item.

    Example:
        >>> list(progress([1, 2], "counting"))
        [1, 2]
    """
    from tqdm import tqdm

    disable = not is_main_process() or not sys.stderr.isatty()
    yield from tqdm(items, desc=what, total=total, unit=unit, disable=disable, leave=False)


def available_memory() -> int:
    """Return the bytes of main memory that this process and its children may still use, also in a container.

    >>> available_memory() > 0
    True
    """
    amounts = [1 << 62]
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text()
        amounts.append(int(text.split("MemAvailable:")[1].split()[0]) << 10)
    with contextlib.suppress(OSError, ValueError, IndexError):  # cgroup 2; "max" where there is no limit
        own = Path("/proc/self/cgroup").read_text().split("0::/")[1].split("\n")[0]
        for folder in {Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup") / own}:
            with contextlib.suppress(OSError, ValueError):
                limit, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
                cached = int((folder / "memory.stat").read_text().split("inactive_file ")[1].split()[0])
                amounts.append(max(0, limit - used + cached))
    return min(amounts)


# Messages of torch and the CUDA libraries that accelerate's test does not know, or knows in one wording only.
_MEMORY_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that a device or the CPU ran out of memory, so that a smaller batch may fit.

    Accelerate's own test is included where it is installed; it covers more devices and cuDNN's refusal of a size.
    Only ``MemoryError`` and ``RuntimeError`` (which ``torch.OutOfMemoryError`` is) count: a ``ValueError`` that quotes
    one of the messages reports something else, and a smaller batch would not help.

    Example:
        >>> is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …"))
        True
        >>> is_out_of_memory(ValueError("out of memory"))
        False
    """
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError" or any(message in text for message in _MEMORY_MESSAGES):
        return True
    if not is_installed("accelerate"):
        return False
    from accelerate.utils.memory import should_reduce_batch_size

    return should_reduce_batch_size(RuntimeError(text))  # it expects one argument that is a string


_PACKAGES = ("accelerate", "av", "bitsandbytes", "numpy", "peft", "tokenizers", "torch", "torchvision", "transformers")


def describe_environment(world_size: int = 1) -> dict[str, Any]:
    """Return versions, machine and date, to keep beside predictions: two versions of a library may answer differently.

    >>> describe_environment()["processes"]
    1
    """
    environment: dict[str, Any] = {
        "microg4m-hf": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processes": world_size,
        "packages": {name: version for name, version in package_versions(*_PACKAGES).items() if version is not None},
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        environment["device"] = torch.cuda.get_device_name()
    return environment
