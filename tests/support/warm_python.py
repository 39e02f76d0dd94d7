"""A Python for tests that need a process of their own: it starts with the large third-party packages imported.

Importing torch, scipy and pandas takes seconds, and most tests that start a process are about what it does afterwards.
``warm_python()`` returns the path of a program that takes the words of ``python``: ``-c``, ``-m``, ``-u`` or a script;
the command ``microg4m`` beside it is run by it. It hands its words, variables, folder and open files to a server that
has these packages imported, which forks and runs them in the child. The library, and every package that reads its
settings from the environment on import (``FRESH``), is imported by each child anew. What the server cannot do as Python
would (other options, or variables that Python or torch read at their start) is run by the real Python.

Tests of the start itself (what is imported, how fast) and of kills use ``sys.executable``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

PACKAGES = (
    "numpy", "pandas", "pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet", "scipy.optimize", "scipy.stats",
    "sklearn.metrics", "PIL.Image", "av", "cv2", "torch", "torch._dynamo", "torch.distributed.elastic",
    "torch.utils.data", "torch.utils.tensorboard", "torchvision", "torchvision.transforms.v2", "aiohttp", "fsspec",
    "google.protobuf", "httpx", "jinja2", "nltk", "psutil", "pydantic", "regex", "requests", "safetensors.torch",
    "starlette.applications", "sympy", "tokenizers", "uvicorn", "yaml",
)  # fmt: skip
FRESH = ("microg4m_hf", "huggingface_hub", "datasets", "transformers", "evaluate", "accelerate", "gradio", "matplotlib")
# Read when the interpreter or torch starts, so a process that wants others than the server has them cannot be forked.
AT_START = ("PYTHON", "OMP_", "MKL_", "OPENBLAS_", "LD_", "LC_", "LANG", "TORCH_", "PYTORCH_", "KMP_")
HANDLED = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONWARNINGS")
HANDLED += ("PYTHON_EXEC", "TORCH_NCCL_ASYNC_ERROR_HANDLING")  # torchrun's; the second is read where NCCL begins
# What sklearn sets on import, in the tests as in the server; so does cv2 with its own folder in LD_LIBRARY_PATH.
SET_BY_PACKAGES = {"KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE"}
STOPS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
FORWARDED = [getattr(signal, name) for name in STOPS if hasattr(signal, name)]
FOLDER = "MICROG4M_WARM_PYTHON"  # the variable with the folder of the servers of this test run


def warm_python(python: str = sys.executable, variables: dict[str, str] | None = None, *, label: str = "") -> str:
    """Return the path of the program; its server starts on first use, once for all workers of a test run.

    Args:
        python: The interpreter, which may be that of another environment.
        variables: What the server starts with; the variables of this process by default.
        label: Another one starts another server, for an environment in which more was installed.
    """
    from hashlib import sha256

    from filelock import FileLock

    top = os.environ.get(FOLDER, "")  # made by conftest.py
    if not top or not hasattr(os, "pidfd_open"):
        return python
    variables = {name: value for name, value in (variables or os.environ).items() if name not in HANDLED}
    folder = os.path.join(top, sha256(json.dumps([python, label]).encode()).hexdigest()[:8])
    program, log = os.path.join(folder, "python"), os.path.join(folder, "log")
    with FileLock(os.path.join(top, "lock")):
        if not os.path.exists(program):
            os.makedirs(folder)
            words = [python, os.path.abspath(__file__), "--serve", folder, os.environ[f"{FOLDER}_OWNER"]]
            with open(log, "wb") as errors:
                server = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=variables,
                    start_new_session=True,
                )  # fmt: skip
            assert server.stdout
            with server.stdout as answer:
                if answer.readline() != b"ready\n":
                    raise RuntimeError(f"the server of warm_python did not start: {_read(log)}")
            command = os.path.join(os.path.dirname(python), "microg4m")
            if os.path.exists(command):
                _write(os.path.join(folder, "microg4m"), program, _read(command).partition("\n")[2])
            _write(program, f"{python} -IS", _read(os.path.abspath(__file__)))
    return program


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path: str, interpreter: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!{interpreter}\n{text}")
    os.chmod(path, 0o755)


def understood(words: list[str]) -> dict[str, object] | None:
    """Return what to run, or None if it needs the real Python."""
    unbuffered = words[:1] == ["-u"]
    rest = words[unbuffered:]
    if len(rest) > 1 and rest[0] in ("-c", "-m"):
        return {"kind": rest[0], "what": rest[1], "argv": rest[2:], "unbuffered": unbuffered}
    if rest and not rest[0].startswith("-") and os.path.isfile(rest[0]):
        return {"kind": "script", "what": rest[0], "argv": rest[1:], "unbuffered": unbuffered}
    return None


def ask(folder: str, words: list[str]) -> None:
    """Have the server run the words, with this process's files, and end as they end."""
    request = understood(words)
    if request is not None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(os.path.join(folder, "socket"))
        request |= {"env": dict(os.environ), "cwd": os.getcwd(), "umask": _umask()}
        request["interrupts"] = signal.getsignal(signal.SIGINT) != signal.SIG_IGN
        content = json.dumps(request).encode()
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until it is known where to
        socket.send_fds(connection, [len(content).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(content)
        answers = connection.makefile("r")
        pid = int(answers.readline())
        if pid > 0:
            for number in FORWARDED:
                signal.signal(number, lambda received, _: os.kill(pid, received))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
            code = int(answers.readline())
            if code < 0:
                if -code != signal.SIGKILL:
                    signal.signal(-code, signal.SIG_DFL)
                os.kill(os.getpid(), -code)
            os._exit(code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    os.execv(sys.executable, [sys.executable, *words])


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def at_start(variables: dict[str, str]) -> dict[str, str]:
    """Return the variables that a process must share with the server, without what packages set on import."""
    found = {name: value for name, value in variables.items() if name.startswith(AT_START) and name not in HANDLED}
    found = {name: value for name, value in found.items() if SET_BY_PACKAGES.get(name) != value}
    folders = found.pop("LD_LIBRARY_PATH", "").split(os.pathsep)
    folders = [folder for folder in folders if folder and "/cv2/" not in folder]
    return found | ({"LD_LIBRARY_PATH": os.pathsep.join(folders)} if folders else {})


def serve(folder: str, owner: int, mine: dict[str, str]) -> tuple[dict, list[int]]:
    """Fork a child for every request until the owner ends; return in the children only, with their request."""
    import selectors

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(folder, "socket"))
    listener.listen(64)
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    lifeline = os.pidfd_open(owner)
    selector = selectors.DefaultSelector()
    for one in (listener, wake, lifeline):
        selector.register(one, selectors.EVENT_READ)
    running: dict[int, socket.socket] = {}
    os.write(1, b"ready\n")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    while True:
        ready = selector.select(5)
        if not os.path.exists(sys.executable) or any(key.fd == lifeline for key, _ in ready):  # its environment is gone
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        for key, _ in ready:
            if key.fileobj is wake:
                wake.recv(4096)
                for pid in list(running):
                    done, status = os.waitpid(pid, os.WNOHANG)
                    if done:
                        connection = running.pop(pid)
                        with contextlib.suppress(KeyError):
                            selector.unregister(connection)
                        _send(connection, os.waitstatus_to_exitcode(status))
                        connection.close()
            elif key.fileobj is listener:
                connection, _ = listener.accept()
                request, files = _receive(connection)
                pid = os.fork() if at_start(request["env"]) == mine else -1
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for other in (listener, wake, woken, connection, *running.values()):
                        other.close()
                    os.close(lifeline)
                    selector.close()
                    return request, files
                for file in files:
                    os.close(file)
                _send(connection, pid)
                if pid < 0:
                    connection.close()
                    continue
                running[pid] = connection
                selector.register(connection, selectors.EVENT_READ, pid)
            elif key.data in running:  # the program was killed, so what it runs is killed too
                selector.unregister(key.fileobj)
                os.kill(key.data, signal.SIGKILL)


def _send(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # the program was killed
        connection.sendall(f"{number}\n".encode())


def _receive(connection: socket.socket) -> tuple[dict, list[int]]:
    head, files, _, _ = socket.recv_fds(connection, 8, 3)
    size, content = int.from_bytes(head, "big"), b""
    while len(content) < size and (part := connection.recv(size - len(content))):
        content += part
    return json.loads(content or b'{"env": {}}'), list(files)  # nothing from a program that was killed


def run(request: dict, files: list[int], path: list[str]) -> int:
    """Become the process that was asked for, and return its exit status, as Python would: negative for a signal."""
    import atexit
    import threading

    code = 0
    try:
        _run(request, files, path)
    except SystemExit as error:
        code = 0 if error.code is None else error.code if isinstance(error.code, int) else 1
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException as error:
        sys.excepthook(*sys.exc_info())
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # as after `| head`
            stream.flush()
    return code


def _run(request: dict, files: list[int], path: list[str]) -> None:
    import importlib
    import runpy
    import tempfile
    import types
    import warnings

    import numpy as np

    for file, place in zip(files, (0, 1, 2), strict=True):
        os.dup2(file, place)
        os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler if request["interrupts"] else signal.SIG_IGN)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["env"])
    tempfile.tempdir = None
    np.random.seed()
    if os.environ.get("PYTHONWARNINGS"):
        warnings._processoptions(os.environ["PYTHONWARNINGS"].split(","))  # type: ignore[attr-defined]
    if request["unbuffered"] or os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    kind, what = request["kind"], request["what"]
    first = {"-c": "", "-m": os.getcwd(), "script": os.path.dirname(os.path.abspath(what))}[kind]
    more = os.environ.get("PYTHONPATH", "")
    sys.path[:] = [first, *(os.path.abspath(one) for one in more.split(os.pathsep) if more), *path]
    sys.argv = [{"script": what}.get(kind, kind), *request["argv"]]
    importlib.invalidate_caches()
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    if kind == "-m":
        runpy._run_module_as_main(what)  # type: ignore[attr-defined]
        return
    text, name = what, "<string>"
    if kind == "script":
        module.__file__ = name = os.path.abspath(what)
        with open(what, "rb") as file_read:
            text = file_read.read()
    exec(compile(text, name, "exec"), module.__dict__)


def main() -> None:
    import gc
    import importlib

    path, mine = sys.path[1:], at_start(dict(os.environ))  # torch adds variables
    for name in PACKAGES:
        with contextlib.suppress(Exception):  # what is not there, or does not load, is told to who imports it
            importlib.import_module(name)
    early = [name for name in FRESH if name in sys.modules]
    if early:
        raise SystemExit(f"warm_python must not import {', '.join(early)}")
    gc.collect()
    gc.freeze()
    request, files = serve(sys.argv[2], int(sys.argv[3]), mine)
    sys.modules["warm_python"] = sys.modules["__main__"]  # keeps these functions when __main__ is replaced
    code = run(request, files, path)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)  # taking down the packages takes a second, and prints of some how many objects they left


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        main()
    else:
        ask(os.path.dirname(os.path.abspath(__file__)), sys.argv[1:])
