"""Measure the time and memory of a function, and describe the machine, for the benchmarks in this folder."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import time
import tracemalloc
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any


def describe_machine(*packages: str) -> dict[str, Any]:
    """Return the date, the machine, and the versions of Python and of those packages that are installed."""
    versions = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "versions": versions,
    }


def _processor() -> str:
    """The name of the processor; the last digits and the speed of bf16 depend on it."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{platform.system()} {platform.machine()}"


def best_time(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return wall and CPU seconds of the fastest repeat."""
    wall, cpu = [], []
    for _ in range(repeats):
        begin, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - used)
    return min(wall), min(cpu)


def peak_memory(work: Callable[[], object]) -> float:
    """Return the peak memory of numpy and Python in MiB."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20
