"""Run decord in a process of its own: a damaged file can crash it, which must not end the program that reads clips.

Run as a module, this file is that process. It reads requests from standard input and answers on standard output, each a
line of JSON followed by raw bytes.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from .source import ClipSource

_SECONDS = 60  # a clip of three seconds takes a tenth of one
_lock = threading.Lock()
_running: tuple[int, subprocess.Popen[bytes]] | None = None  # with the process that started it: forks start their own


class DecordError(Exception):
    """decord raised an error, crashed, or did not answer in time."""


def read_with_decord(source: ClipSource, wanted: list[int]) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the number of frames of a clip, and times and RGB pixels of the wanted ones.

    Raises:
        DecordError: decord fails on the clip; the next call starts a new process if necessary.
    """
    global _running
    data = source.data or b""
    request = {"path": None if source.data is not None else str(source.path), "bytes": len(data), "wanted": wanted}
    with _lock:
        if _running is None or _running[0] != os.getpid() or _running[1].poll() is not None:
            _stop_running()
            _running = (os.getpid(), _start())
        process = _running[1]
        timer = threading.Timer(_SECONDS, process.kill)
        timer.start()
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(request).encode() + b"\n" + data)
            process.stdin.flush()
            reply = json.loads(process.stdout.readline() or b'{"error": "it crashes"}')
            if "error" in reply:
                raise DecordError(reply["error"])
            pixels = process.stdout.read(math.prod(reply["shape"]))
            frames = np.frombuffer(pixels, np.uint8).reshape(reply["shape"])
        except (OSError, ValueError) as error:
            raise DecordError("it crashes") from error
        finally:
            timer.cancel()
    return reply["frames"], np.array(reply["times"]), frames


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", __spec__.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


@atexit.register
def _stop_running() -> None:
    global _running
    if _running is not None and _running[0] == os.getpid():
        with contextlib.suppress(OSError):
            _running[1].kill()
            _running[1].communicate()
    _running = None


@contextlib.contextmanager
def _private_output() -> Iterator[io.BufferedWriter]:
    """Yield standard output; whatever else is printed, by C code as well, goes to standard error."""
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        yield output


def serve() -> None:
    """Answer requests until standard input ends."""
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    with _private_output() as output:
        while line := sys.stdin.buffer.readline():
            request = json.loads(line)
            data = sys.stdin.buffer.read(request["bytes"])
            frames, reply = _decode(decord, request, data)
            output.write(json.dumps(reply).encode() + b"\n")
            output.write(frames)
            output.flush()


def _decode(decord: Any, request: dict[str, Any], data: bytes) -> tuple[bytes, dict[str, Any]]:
    try:
        with open(request["path"], "rb") if request["path"] is not None else io.BytesIO(data) as file:
            reader = decord.VideoReader(file, num_threads=1)
            times = reader.get_frame_timestamp(request["wanted"])[:, 0]
            frames = reader.get_batch(request["wanted"]).asnumpy()
    except Exception as error:  # the other process decides what an error of decord means
        return b"", {"error": str(error).strip().partition("\n")[0] or type(error).__name__}
    return frames.tobytes(), {"frames": len(reader), "times": times.tolist(), "shape": frames.shape}


if __name__ == "__main__":
    serve()
