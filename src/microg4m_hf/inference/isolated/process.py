"""Our end of a worker: starts it, talks to it, and notices when it dies or hangs."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from ...errors import ServerError
from .worker import PROTOCOL

_NOT_FOR_IT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_LONGEST_LINE = 2**24


class WorkerDied(Exception):
    """The worker is gone, or had to be killed because it was silent for too long (``hung``)."""

    def __init__(self, why: str, hung: bool = False) -> None:
        super().__init__(why)
        self.hung = hung


class WorkerProcess:
    """A running worker. Its messages of errors are kept (the end of them) and shown when it dies."""

    def __init__(self, python: str, scratch: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_IT}
        worker = Path(__file__).with_name("worker.py")
        self._process = subprocess.Popen(
            [python, "-u", str(worker), str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # so that what it starts can be ended with it
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._last = bytearray()
        self._drain = threading.Thread(target=self._keep_last_words, daemon=True)
        self._drain.start()
        threading.Thread(target=self._read_lines, daemon=True).start()
        hello = self.reply(120)
        if hello.get("hello") != PROTOCOL:
            self.kill()
            raise ServerError(f"the worker under {python} speaks another protocol: {str(hello)[:200]}")

    def ask(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Send one message and wait for the reply to it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps(message) + "\n").encode())
            self._process.stdin.flush()
        except OSError:
            raise WorkerDied(self._post_mortem()) from None
        return self.reply(timeout)

    def reply(self, timeout: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self.kill()
            raise WorkerDied(f"no answer within {timeout:g} s{self._last_words()}", hung=True) from None
        if not line:
            raise WorkerDied(self._post_mortem())
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self.kill()
            raise WorkerDied(f"it said something that is no message: {line[:100]!r}")
        return message

    def kill(self) -> None:
        """End it and all that it started; waits until it is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._drain.join(1)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if pipe is not None and not (pipe is self._process.stderr and self._drain.is_alive()):
                    pipe.close()

    def _post_mortem(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self.kill()
        code = self._process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"the worker died ({how}){self._last_words()}"

    def _last_words(self) -> str:
        said = bytes(self._last).decode("utf-8", "replace").replace("\r", "\n").strip().splitlines()
        lines = [line for line in said if line.strip()][-8:]
        return "; its last words: " + " | ".join(lines) if lines else ""

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            while line := self._process.stdout.readline(_LONGEST_LINE):
                self._lines.put(line)
        self._lines.put(b"")

    def _keep_last_words(self) -> None:
        assert self._process.stderr is not None
        while chunk := os.read(self._process.stderr.fileno(), 2**16):
            self._last += chunk
            del self._last[:-8192]


def started(python: str, scratch: Path, load: dict[str, Any], timeout: float) -> tuple[WorkerProcess, dict[str, Any]]:
    """A worker that has loaded its model, and what it said about itself; ``ServerError`` when it cannot."""
    began = time.monotonic()
    try:
        worker = WorkerProcess(python, scratch)
        said = worker.ask({"load": load}, timeout)
    except WorkerDied as error:
        seconds = time.monotonic() - began
        raise ServerError(f"{load['model']} cannot be loaded under {python} ({seconds:.0f} s): {error}") from None
    if "error" in said:
        worker.kill()
        hint = ""
        if "trust_remote_code" in said["error"] and not load["trust_remote_code"]:
            hint = "; read the model's code, then allow it with --trust-remote-code"
        raise ServerError(f"{load['model']} cannot be loaded under {python}: {said['error'][:1000]}{hint}")
    return worker, said
