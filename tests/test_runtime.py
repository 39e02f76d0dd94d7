"""Ranks from the environment, errors that mean too little memory, and versions of packages."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from microg4m_hf import runtime
from microg4m_hf.errors import MicroG4MError, ModelError
from microg4m_hf.runtime import is_out_of_memory
from tests.support.warm_python import warm_python

# What torch, the CUDA libraries and other backends raise, in their own words.
MESSAGES = [
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
    "HIP out of memory. Tried to allocate 2.00 GiB",
    "XPU out of memory. Tried to allocate 2.00 GiB",
    "MPS backend out of memory (MPS allocated: 9.05 GB, other allocations: 1.20 MB, max allowed: 9.07 GB)",
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8",
    "[enforce fail at alloc_cpu.cpp:75] data. DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.",
    "FATAL ERROR :: MODULE:PT_DEVMEM Allocation failed for size::17179869184 (16384)MB",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_every_wording_of_too_little_memory_is_recognized(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))


@pytest.mark.parametrize("message", MESSAGES)
def test_an_error_of_another_kind_that_quotes_the_message_is_not(message: str) -> None:
    assert not is_out_of_memory(ValueError(message))
    assert not is_out_of_memory(ModelError(message))


def test_errors_that_are_about_memory_by_their_class_need_no_message() -> None:
    import torch

    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError(""))


@pytest.mark.parametrize(
    "error", [RuntimeError(), RuntimeError(5), RuntimeError("shape mismatch"), KeyboardInterrupt()]
)
def test_other_errors_are_not_about_memory(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_accelerate_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "is_installed", lambda module: False)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert is_out_of_memory(RuntimeError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


@pytest.mark.parametrize(("rank", "main"), [("0", True), ("1", False), ("00", True)])
def test_the_launcher_sets_the_rank(rank: str, main: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert runtime.rank_and_world_size() == (int(rank), 2)
    assert runtime.is_main_process() is main


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(runtime.progress(iter("abc"), "letters", total=3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_log_gets_lines_and_no_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Slurm, nohup and CI: a line at most every 30 s, with the time left; the clock is set by the test."""
    now = iter([0.0, 10.0, 31.0, 31.0, 59.0, 60.0, 3700.0])
    monkeypatch.setattr(runtime, "time", SimpleNamespace(monotonic=lambda: next(now)))
    with runtime.Progress("training", 9, unit="step", initial=5) as shown:
        for loss in (0.9, 0.8, 0.7, 0.6):
            shown.update(loss=loss)
    assert capsys.readouterr().err.splitlines() == [
        "training: 7/9 step, 0:31 passed, about 0:31 left, loss 0.8",
        "training: 9/9 step, 1:01:40 passed",
    ]


def test_only_the_main_process_of_a_launch_shows_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime, "LINE_EVERY", 0.0)
    assert list(runtime.progress("ab", "letters")) == ["a", "b"]
    assert "letters: 1/2 it" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    assert list(runtime.progress("ab", "letters")) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_notebooks_and_terminals_get_a_bar() -> None:
    """A notebook kernel has no terminal, but a bar; both are real ones: IPython's shell class and a pseudo-terminal."""
    code = "from microg4m_hf.runtime import progress; list(progress(range(3), 'counting', unit='clip'))"
    kernel = (
        "from ipykernel.zmqshell import ZMQInteractiveShell as shell; shell.instance(); "
        "from microg4m_hf.runtime import progress; list(progress(range(3), 'counting', unit='clip'))"
    )
    log = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert log.stderr == ""
    main, side = os.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run([sys.executable, "-c", code], stderr=side, check=True)
    os.close(side)
    assert b"counting" in os.read(main, 10_000)
    os.close(main)
    notebook = subprocess.run([sys.executable, "-c", kernel], capture_output=True, text=True, check=True)
    assert "counting" in notebook.stderr + notebook.stdout


def test_the_environment_lists_installed_packages_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {"torch": "2.6.0", "peft": None}
    monkeypatch.setattr(runtime, "package_versions", lambda *names: found)
    environment = json.loads(json.dumps(runtime.describe_environment(4)))
    assert environment["packages"] == {"torch": "2.6.0"} and environment["processes"] == 4
    assert {"microg4m-hf", "python", "platform", "date"} <= set(environment)


@pytest.mark.parametrize(("variables", "used"), [({}, "mps"), ({"ACCELERATE_USE_CPU": "true"}, "cpu")])
def test_a_training_uses_accelerators_other_than_cuda(variables: dict[str, str], used: str, tmp_path: Path) -> None:
    """In a process in which torch and accelerate report such a device; no tensor is put on it."""
    code = (
        "import torch, accelerate.state as state\n"
        "torch.accelerator.is_available = state.is_mps_available = lambda *a, **k: True\n"
        "from microg4m_hf.training.build import build_accelerator\n"
        "from microg4m_hf.training.recipe_io import load_recipe\n"
        "from microg4m_hf.training.run_folder import RunFolder\n"
        f"run = RunFolder({str(tmp_path)!r})\n"
        "print(build_accelerator(load_recipe('demo', []), run).device.type)\n"
    )
    ran = subprocess.run([warm_python(), "-c", code], capture_output=True, text=True, env={**os.environ, **variables})
    assert ran.stdout.split() == [used], ran.stderr


@pytest.mark.parametrize(("gpus", "processes", "on_cpu"), [(0, 4, ""), (1, 1, ""), (2, 2, ""), (1, 2, "true")])
def test_a_launch_with_a_gpu_for_each_process(
    gpus: int, processes: int, on_cpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setenv("ACCELERATE_USE_CPU", on_cpu)
    runtime.check_gpus()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes + gpus))
    if gpus:
        with pytest.raises(
            MicroG4MError, match=rf"{processes + gpus} processes .* {gpus} GPU.*--num_processes {gpus}\)"
        ):
            runtime.check_gpus()


@pytest.mark.parametrize(("kind", "device"), [("cuda", "cuda:1"), ("xpu", "xpu:1"), ("mps", "mps"), (None, "cpu")])
def test_the_device_of_this_process(kind: str | None, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    found = None if kind is None else torch.device(kind)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: found is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: found)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert runtime.local_device() == device
