"""Load key frames in processes under one limit or fault each, and print how each trial ended.

Every trial is a forked child of one process that has imported everything.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from microg4m_hf.errors import RecipeError
from microg4m_hf.models import create
from microg4m_hf.training import Data, KeyFrameWindows, predict_logits, split_items

DATA = Data(num_frames=4, stride=8, source="sample", key_frame="exact", crop=64, eval_short_side=72)
ITEMS = split_items(DATA, "test")[:6]
MODEL = create("tiny_slow", num_frames=4, check_inputs=False).eval()


def predict(windows: KeyFrameWindows | None = None) -> str:
    items = windows or KeyFrameWindows(ITEMS, DATA)
    return f"{len(predict_logits(Accelerator(cpu=True), MODEL, items, batch=2, workers=2))} items"


def limited_files() -> str:
    """A file may have no more bytes than a tenth of one window."""
    sys.dont_write_bytecode = True  # it would be cut off, too
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, 16 << 10))
    return predict()


def few_descriptors() -> str:
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, used + 2))
    return predict()


def small_shm() -> str:
    """/dev/shm has room for the semaphores and for less than one window."""
    _mount_shm("64k")
    return predict()


def full_shm() -> str:
    _mount_shm("64k")
    with Path("/dev/shm/filled").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                break
    return predict()


def _mount_shm(size: str) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(0x00020000) != 0:  # CLONE_NEWNS: only this process sees the mount
        raise PermissionError("this user may not mount")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True, capture_output=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", "/dev/shm"], check=True, capture_output=True)


class Faulty(KeyFrameWindows):
    """The third item is decoded by ``fault``."""

    def __init__(self, fault: Callable[[Any], Any]) -> None:
        super().__init__(ITEMS, DATA)
        self.fault = fault

    def packed(self, place: Any, *more: Any) -> Any:
        return self.fault(super().packed(place, *more)) if place == 2 else super().packed(place, *more)


def _fast_checks() -> Any:
    from microg4m_hf.training.loading import loader

    loader.CHECK_EVERY = 1
    return loader


def killed_worker() -> str:
    return predict(Faulty(lambda item: os.kill(os.getpid(), signal.SIGKILL)))


def stopped_worker() -> str:
    _fast_checks()
    return predict(Faulty(lambda item: os.kill(os.getpid(), signal.SIGSTOP)))


def lost_item() -> str:
    """An item that cannot be sent, which torch's queue only prints."""
    _fast_checks()
    return predict(Faulty(lambda item: dataclasses.replace(item, labels=lambda: None)))


def slow_worker() -> str:
    """The item takes until its worker was examined more often than one that is given up."""
    loader = _fast_checks()
    examined = Path(os.environ["TRIALS"]) / "examined"
    examine = loader.Watch.examine

    def counting(self: Any, number: int) -> None:
        examine(self, number)
        with examined.open("a") as file:
            file.write(".")

    def slow(item: Any) -> Any:
        while not examined.exists() or examined.stat().st_size <= loader.LOST_AFTER + 1:
            time.sleep(0.05)
        return item

    loader.Watch.examine = counting
    return predict(Faulty(slow))


def main(names: list[str]) -> None:
    for name in names:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            try:
                outcome = globals()[name]()
            except RecipeError as error:
                outcome = f"RecipeError: {error}"
            except (PermissionError, subprocess.CalledProcessError) as error:
                outcome = f"not possible here: {error}"
            except BaseException as error:
                outcome = f"{type(error).__name__}: {error}"
            print(json.dumps({name: outcome}), flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
