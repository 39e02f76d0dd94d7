"""The process a job runs in: its rank, device, progress bars, memory and environment.

``accelerate launch`` and ``torchrun`` pass rank and world size in the environment. They are read from there, so no
process group is needed: the processes of a job share only its run folder and never wait for each other.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, TypeVar

from ._version import __version__
from .errors import MicroG4MError
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

    found = torch.accelerator.current_accelerator() if has_accelerator() else None
    if found is None:
        return "cpu"
    kind = found.type
    if kind == "mps":  # there is only one
        return kind
    return f"{kind}:{int(os.environ.get('LOCAL_RANK', '0')) % torch.accelerator.device_count()}"


def has_accelerator() -> bool:
    """Return whether torch finds a GPU or another accelerator: CUDA, ROCm, Apple's MPS, Intel's XPU, an NPU.

    Pass ``cpu=not has_accelerator()`` to ``Accelerator``: by itself, it starts every process of a launch on CPUs alone.
    With the environment variable ``ACCELERATE_USE_CPU=true`` there is none.
    """
    import torch

    return torch.accelerator.is_available() and not _cpu_only()


def _cpu_only() -> bool:
    return os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")


def check_gpus() -> None:
    """Fail in one line where a launch has more processes on this machine than GPUs; torch would only name a device.

    Raises:
        MicroG4MError: If so.
    """
    import torch

    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if 0 < gpus < here and not _cpu_only():
        raise MicroG4MError(
            f"{here} processes were started on a machine with {gpus} GPU{'s' * (gpus > 1)}, and each needs one; "
            f"start {gpus} (--num_processes {gpus}), or set ACCELERATE_USE_CPU=true"
        )


LINE_EVERY = 30.0  # seconds between two lines of a log


def shows_bars() -> bool:
    """Return whether standard error is a terminal or a notebook, where a bar can be drawn again and again."""
    return sys.stderr.isatty() or _in_notebook()


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class Progress:
    """Show the progress of a job on standard error: a bar in a terminal or a notebook, a line every 30 s elsewhere.

    Only the main process of a launch shows anything, and a job of less than 30 s writes no line. ``TQDM_DISABLE=1``
    turns bars and lines off.

    Args:
        what: The name of the job.
        total: The number of items, if it is known.
        unit: The name of one item.
        initial: How many items were finished before.

    Example:
        >>> with Progress("training", total=2, unit="step") as shown:
        ...     shown.update(loss="0.5")
    """

    def __init__(self, what: str, total: int | None = None, *, unit: str = "it", initial: int = 0) -> None:
        self.what, self.total, self.unit, self.done, self._initial = what, total, unit, initial, initial
        self._began = self._last_line = time.monotonic()
        self._bar: Any = None
        self._writes_lines, self._written = False, initial
        if not is_main_process() or os.environ.get("TQDM_DISABLE", "0") not in ("", "0"):
            return
        if shows_bars():
            self._bar = _bar_class()(desc=what, total=total, unit=unit, initial=initial, leave=False)
        else:
            self._writes_lines = True

    def update(self, count: int = 1, **values: object) -> None:
        """Count finished items, and show ``values`` beside the number."""
        self.done += count
        if self._bar is not None:
            if values:
                self._bar.set_postfix(values, refresh=False)
            self._bar.update(count)
        elif self._writes_lines and time.monotonic() - self._last_line >= LINE_EVERY:
            self._write_line(values)

    def close(self) -> None:
        """End the bar. A log with lines gets a last one."""
        if self._bar is not None:
            self._bar.close()
        elif self._writes_lines and self._last_line > self._began and self._written != self.done:
            self._write_line({})
        self._bar, self._writes_lines = None, False

    def _write_line(self, values: dict[str, object]) -> None:
        self._last_line, self._written = time.monotonic(), self.done
        passed, finished = self._last_line - self._began, self.done - self._initial
        parts = [f"{self.done}/{self.total} {self.unit}" if self.total else f"{self.done} {self.unit}"]
        parts.append(f"{_clock(passed)} passed")
        if self.total and finished and self.done < self.total:
            parts.append(f"about {_clock(passed / finished * (self.total - self.done))} left")
        parts += [f"{name} {value}" for name, value in values.items()]
        with contextlib.suppress(BrokenPipeError):  # who reads the log has ended, which is no reason to end the job
            print(f"{self.what}: {', '.join(parts)}", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _bar_class() -> Any:
    """Return tqdm, for a notebook or a terminal, with a lock of this process.

    The lock that tqdm shares with other processes needs a semaphore, which a killed process may never release.
    """
    import threading
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns that its choice is experimental, or that ipywidgets is missing
        if _in_notebook():
            from tqdm.auto import tqdm
        else:
            from tqdm import tqdm
    return type("Bar", (tqdm,), {"_lock": threading.RLock()})


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress(
    items: Iterable[T], what: str, *, total: int | None = None, unit: str = "it", initial: int = 0
) -> Iterator[T]:
    """Iterate and show the progress as :class:`Progress` does.

    Args:
        items: What to iterate over.
        what: The name of the job.
        total: The number of items with the ``initial`` ones, when ``items`` has no length.
        unit: The name of one item.
        initial: How many items were finished before.

    Example:
        >>> list(progress([1, 2], "counting"))
        [1, 2]
    """
    if total is None and isinstance(items, Sized):
        total = len(items) + initial
    with Progress(what, total, unit=unit, initial=initial) as shown:
        for item in items:
            yield item
            shown.update()


def silence_other_bars() -> None:
    """Turn off the bars of datasets, transformers and huggingface_hub where they would fill a log or repeat by rank."""
    if is_main_process() and shows_bars():
        return
    for module, function in (
        ("datasets", "disable_progress_bars"),
        ("transformers.utils.logging", "disable_progress_bar"),
        ("huggingface_hub.utils", "disable_progress_bars"),
    ):
        with contextlib.suppress(ImportError, AttributeError):
            getattr(importlib.import_module(module), function)()


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
