"""Start a worker process in another Python environment, exchange messages with it, and detect crashes and hangs."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ServerError
from .worker import PROTOCOL

_UNSET = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# The code of the model must not see secrets. Words of names such as HF_TOKEN, AWS_SECRET_ACCESS_KEY and SSH_AUTH_SOCK.
_SECRET_WORDS = re.compile(
    r"(^|_)(API_?KEY|KEY|TOKENS?|SECRETS?|PASS(WORD|WD|PHRASE)?|PWD|CREDENTIALS?|AUTH|COOKIES?|PAT|DSN)(_|$)|"
    r"(KEY|TOKEN|SECRET|PASSWORD)$"
)
_USER_IN_URL = re.compile(r"://[^/@\s]+@")
_MAX_LINE_BYTES = 2**24


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker: without this process's Python and ranks, and without keys and tokens.

    >>> worker_environment({"PATH": "/bin", "HF_TOKEN": "hf_x", "OPENAI_API_KEY": "sk", "HF_HOME": "/data"})
    {'PATH': '/bin', 'HF_HOME': '/data'}
    >>> worker_environment({"DATABASE": "postgres://user:pass@host/db", "HTTPS_PROXY": "http://proxy:8080"})
    {'HTTPS_PROXY': 'http://proxy:8080'}
    """
    return {
        name: value
        for name, value in environment.items()
        if name not in _UNSET
        and (name == "PWD" or not _SECRET_WORDS.search(name.upper()))
        and not _USER_IN_URL.search(value)
    }


class WorkerError(Exception):
    """The worker crashed, or it was killed because it did not reply in time (``timed_out``)."""

    def __init__(self, why: str, timed_out: bool = False) -> None:
        super().__init__(why)
        self.timed_out = timed_out


class WorkerProcess:
    """A running worker. The end of its standard error is kept for error messages."""

    def __init__(self, python: str, scratch: Path) -> None:
        self._process = subprocess.Popen(
            [python, "-u", str(Path(__file__).with_name("worker.py")), str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment(os.environ),
            start_new_session=True,  # so that its child processes can be killed with it
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._stderr = bytearray()
        self._stderr_thread = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr_thread.start()
        threading.Thread(target=self._read_stdout, daemon=True).start()
        hello = self.receive(120)
        if hello.get("hello") != PROTOCOL:
            self.kill()
            raise ServerError(
                f"the worker under {python} uses another protocol ({str(hello)[:200]}); give --python the "
                "interpreter itself, not a script that prints"
            )

    @classmethod
    def start(
        cls, python: str, scratch: Path, load: dict[str, Any], timeout: float
    ) -> tuple[WorkerProcess, dict[str, Any]]:
        """Start a worker and load its model. Returns the worker and its reply.

        Raises:
            ServerError: The interpreter does not run, or the model does not load.
        """
        start = time.monotonic()
        try:
            worker = cls(python, scratch)
            reply = worker.request({"load": load}, timeout)
        except WorkerError as error:
            seconds = time.monotonic() - start
            where = f"{load['model']} cannot be loaded under {python} ({seconds:.0f} s)"
            raise ServerError(f"{where}: {error}; try `{python} -c 'import torch'` by hand") from None
        if "error" in reply:
            worker.kill()
            hint = "; check the name of the model, and install there what it needs"
            if "trust_remote_code" in reply["error"] and not load["trust_remote_code"]:
                hint = "; read the model's code, then allow it with --trust-remote-code"
            raise ServerError(f"{load['model']} cannot be loaded under {python}: {reply['error'][:1000]}{hint}")
        return worker, reply

    def request(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Send a message and return the reply.

        Raises:
            WorkerError: The worker crashed or did not reply within ``timeout`` seconds.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps(message) + "\n").encode())
            self._process.stdin.flush()
        except OSError:
            raise WorkerError(self._describe_exit()) from None
        return self.receive(timeout)

    def receive(self, timeout: float) -> dict[str, Any]:
        """Return the next message of the worker."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self.kill()
            raise WorkerError(f"no answer within {timeout:g} s{self._stderr_tail()}", timed_out=True) from None
        if not line:
            raise WorkerError(self._describe_exit())
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self.kill()
            raise WorkerError(f"the worker wrote a line that is not a message: {line[:100]!r}")
        return message

    def kill(self) -> None:
        """Kill the worker and its child processes, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:  # Windows
                with contextlib.suppress(OSError):
                    subprocess.run(["taskkill", "/F", "/T", "/PID", str(self._process.pid)], capture_output=True)
                self._process.kill()
        self._process.wait()
        self._stderr_thread.join(1)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if pipe is not None and not (pipe is self._process.stderr and self._stderr_thread.is_alive()):
                    pipe.close()

    def _describe_exit(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self.kill()
        code = self._process.returncode
        reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"the worker died ({reason}){self._stderr_tail()}"

    def _stderr_tail(self) -> str:
        lines = bytes(self._stderr).decode("utf-8", "replace").replace("\r", "\n").strip().splitlines()
        lines = [line for line in lines if line.strip()][-8:]
        return "; the end of its standard error: " + " | ".join(lines) if lines else ""

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            while line := self._process.stdout.readline(_MAX_LINE_BYTES):
                self._lines.put(line)
        self._lines.put(b"")

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while chunk := os.read(self._process.stderr.fileno(), 2**16):
            self._stderr += chunk
            del self._stderr[:-8192]
