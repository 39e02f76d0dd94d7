"""Generate texts with a model that needs another Python environment, in a worker process there."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ClipError, RecipeError
from ...scratch import remove_abandoned, scratch_folder
from ...settings import Settings, setting
from ..frames import prefetch, read_frames
from ..items import ClipQueries, Query, TextSettings, prompt_set
from ..run import Results, Runner, stop_after_failures
from .process import WorkerError, WorkerProcess
from .worker import ADAPTERS

_LOAD_TIMEOUT = 3600.0  # seconds; the weights may have to be downloaded
_PREFETCH = 2  # clips that are decoded while the model works


@dataclass(frozen=True)
class IsolatedEnvironment(Settings, prefix="--"):
    """The Python environment of a model, and how to call the model there."""

    python: str | os.PathLike[str]  # the interpreter
    adapter: str | None = None  # "internvl", "owl3", or a Python file; None: detect it from the model
    trust_remote_code: bool = False
    timeout: float = setting(600.0, above=0)  # seconds for one answer


def isolated_runner(settings: TextSettings, environment: IsolatedEnvironment) -> Runner:
    """Return a runner that generates with ``worker.py`` under the interpreter of another environment.

    A crashed worker is restarted and its item retried once. A worker that exceeds the timeout is killed.
    """
    python = shutil.which(environment.python)
    if python is None:
        folder = Path(environment.python)
        hint = (
            f"; did you mean {folder / 'bin' / 'python'}?" if folder.is_dir() else "; give the python of an environment"
        )
        raise RecipeError(f"--python {os.fspath(environment.python)} is not an executable{hint}")
    load = {
        "model": settings.model,
        "revision": settings.revision,
        "adapter": _resolve_adapter(environment.adapter),
        "trust_remote_code": environment.trust_remote_code,
        "dtype": settings.dtype,
        "attention": settings.attention,
    }

    def runner(clips: Sequence[ClipQueries]) -> Results:
        frames = Path(tempfile.gettempdir()) / "microg4m-frames"
        remove_abandoned(frames)
        with scratch_folder(frames) as scratch:
            worker = _RestartingWorker(python, scratch, load, environment.timeout)
            try:
                results = _generate(settings, worker, scratch, clips)
                yield from stop_after_failures(results, f"{settings.model} under {python}", ("decode", "empty"), 5)
            finally:
                worker.stop()

    return runner


def adapter_name(adapter: str | None) -> str:
    """Return the name of an adapter in ``settings.json``. A file is identified by a hash of its content.

    >>> adapter_name("owl3"), adapter_name(None)
    ('owl3', 'found by itself')
    """
    path = _resolve_adapter(adapter)
    if path is None or path in ADAPTERS:
        return path or "found by itself"
    return f"{Path(path).name} {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]}"


def _resolve_adapter(adapter: str | None) -> str | None:
    if adapter is None or adapter in ADAPTERS:
        return adapter
    path = Path(adapter).expanduser().resolve()
    if path.suffix != ".py" or not path.is_file():
        raise RecipeError(f"--adapter {adapter} is not an existing Python file; use one, or {', '.join(ADAPTERS)}")
    return str(path)


class _RestartingWorker:
    """A worker process that is started on demand, and again after a crash."""

    def __init__(self, python: str, scratch: Path, load: dict[str, Any], timeout: float) -> None:
        self._arguments = (python, scratch, load, _LOAD_TIMEOUT)
        self._timeout = timeout
        self._process: WorkerProcess | None = None
        self.versions = ""

    def request(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._process, reply = WorkerProcess.start(*self._arguments)
            self.versions = ", ".join(f"{name} {version}" for name, version in reply["versions"].items())
        try:
            reply = self._process.request(message, self._timeout)
        except WorkerError:
            self.stop()
            raise
        if "CUDA error" in reply.get("error", ""):  # the process cannot use the device any more
            self.stop()
            raise WorkerError(reply["error"][:500])
        return reply

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None


def _generate(
    settings: TextSettings, worker: _RestartingWorker, scratch: Path, clips: Sequence[ClipQueries]
) -> Results:
    for clip, frames in _save_frames(settings, scratch, clips):
        for query in clip.queries:
            if isinstance(frames, str):
                yield query, {"status": "failed", "kind": "decode", "why": frames}
            else:
                yield query, _generate_one(settings, worker, frames, query)
        if isinstance(frames, Path):
            frames.unlink(missing_ok=True)


def _generate_one(settings: TextSettings, worker: _RestartingWorker, frames: Path, query: Query) -> dict[str, Any]:
    prompts = prompt_set(settings.prompts)
    text = prompts.user_text(query)
    message = {
        "ask": query.id,
        "frames": str(frames),
        "prompt": f"{prompts.system}\n\n{text}" if prompts.system else text,
        "settings": settings.to_dict(),
    }
    for is_last_attempt in (False, True):
        try:
            reply = worker.request(message)
        except WorkerError as error:
            if error.timed_out or is_last_attempt:
                return {"status": "failed", "kind": "timeout" if error.timed_out else "crash", "why": str(error)}
            continue
        if "error" in reply:
            return {"status": "failed", "kind": "error", "why": reply["error"][:1000]}
        answer = reply["text"].encode("utf-8", "replace").decode().strip()
        if not answer:
            return {"status": "failed", "kind": "empty", "why": "the answer is empty"}
        return {"status": "ok", "text": answer, "served": worker.versions}
    raise AssertionError("the last attempt returns")


def _save_frames(
    settings: TextSettings, scratch: Path, clips: Sequence[ClipQueries]
) -> Iterator[tuple[ClipQueries, Path | str]]:
    """Yield every clip with a file of its frames, or with the reason why it cannot be decoded."""
    numbers = itertools.count()

    def save(clip: ClipQueries) -> Path | str:
        try:
            frames = read_frames(clip.video, settings.frames, settings.frame_sampling, clip.turn).frames
        except (ClipError, OSError) as error:
            return str(error)
        path = scratch / f"{next(numbers)}.npy"
        np.save(path, frames, allow_pickle=False)
        return path

    return prefetch(save, clips, workers=1, depth=_PREFETCH + 1)
