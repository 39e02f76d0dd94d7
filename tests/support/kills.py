"""Kill a job at a chosen step: with SIGKILL, in a forked process, just before its n-th access to the file system.

Python reports every file that it opens, renames, removes or creates to audit hooks. What libraries in other languages
open is not a step; a kill at a random moment (``kill_after``) reaches those.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

_STEPS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "fcntl.flock")


def count_steps(work: Callable[[], Any]) -> int:
    """Return how many steps the work has. It is done in a forked process."""
    reading, writing = os.pipe()

    def counted() -> None:
        steps = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal steps
            steps += _is_step(event, arguments)

        sys.addaudithook(count)
        work()
        os.write(writing, str(steps).encode())

    status = _wait(_fork(counted))
    os.close(writing)
    with os.fdopen(reading) as result:
        text = result.read()
    assert status == 0, f"the work itself fails ({status})"
    return int(text)


def kill_at_step(step: int, work: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> bool:
    """Do the work in a forked process and kill it at a step. Return whether it was killed."""

    def killed() -> None:
        steps = 0
        owner = os.getpid()

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal steps
            if os.getpid() == owner and _is_step(event, arguments):
                steps += 1
                if steps == step:
                    os.kill(owner, signal.SIGKILL)

        before()
        sys.addaudithook(count)
        work()

    return _wait(_fork(killed)) == -signal.SIGKILL


def kill_after(seconds: float, work: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> bool:
    """Do the work in a forked process and kill it after some time. Return whether it was killed."""

    def both() -> None:
        before()
        work()

    child = _fork(both)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return _wait(child) == -signal.SIGKILL


def run_forked(work: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> int:
    """Do the work in a forked process and return its exit code; 1 for an exception, which is printed."""

    def both() -> None:
        before()
        work()

    return _wait(_fork(both))


def _is_step(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":  # only what is written; a folder opened to synchronize it is read
        flags = arguments[2] if isinstance(arguments[2], int) else 0
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in _STEPS


def _fork(work: Callable[[], Any]) -> int:
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)  # OpenMP would wait for threads that a fork does not have
        work()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
