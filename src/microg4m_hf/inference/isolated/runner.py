"""Captions and answers from a model that needs another Python environment: our worker runs it there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ClipError, RecipeError
from ..frames import read_frames
from ..items import ClipQueries, Query, TextSettings, prompt_set
from ..run import Runner, stop_when_hopeless
from .process import WorkerDied, WorkerProcess, started
from .worker import ADAPTERS

_LOADING = 3600.0  # seconds; the weights may have to be downloaded
_AHEAD = 2  # clips that are read while the model works


def isolated_runner(
    settings: TextSettings,
    python: str | os.PathLike[str],
    *,
    adapter: str | None = None,
    trust_remote_code: bool = False,
    timeout: float = 600.0,
) -> Runner:
    """A runner over ``python worker.py``, where ``python`` is the interpreter of the other environment.

    ``adapter`` is ``"internvl"``, ``"owl3"``, a file of yours with ``load(model, revision)`` and
    ``answer(state, frames, prompt, settings)``, or None to see what the model can do. A worker that dies is started
    again, and the item gets a second try; one that is silent for ``timeout`` seconds is killed.
    """
    interpreter = shutil.which(python)
    if interpreter is None:
        hint = f"; did you mean {Path(python) / 'bin' / 'python'}?" if Path(python).is_dir() else ""
        raise RecipeError(f"--python {os.fspath(python)} is no program that can be started{hint}")
    load = {
        "model": settings.model,
        "revision": settings.revision,
        "adapter": _adapter_for_worker(adapter),
        "trust_remote_code": trust_remote_code,
        "dtype": settings.dtype,
        "attention": settings.attention,
    }

    def runner(work: Sequence[ClipQueries]) -> Iterator[tuple[Query, dict[str, Any]]]:
        with tempfile.TemporaryDirectory(prefix="microg4m-frames-") as scratch:
            place = Path(scratch)
            workers = _Workers(interpreter, place, load, timeout)
            try:
                results = _answers(settings, workers, place, work)
                yield from stop_when_hopeless(results, f"{settings.model} under {interpreter}", ("decode", "empty"), 5)
            finally:
                workers.end()

    return runner


def adapter_name(adapter: str | None) -> str:
    """How an adapter is called in the settings of a run; a file by its content, which decides the answers.

    >>> adapter_name("owl3"), adapter_name(None)
    ('owl3', 'found by itself')
    """
    found = _adapter_for_worker(adapter)
    if found is None or found in ADAPTERS:
        return found or "found by itself"
    return f"{Path(found).name} {hashlib.sha256(Path(found).read_bytes()).hexdigest()[:16]}"


def _adapter_for_worker(adapter: str | None) -> str | None:
    if adapter is None or adapter in ADAPTERS:
        return adapter
    path = Path(adapter).expanduser().resolve()
    if path.suffix != ".py" or not path.is_file():
        raise RecipeError(f"--adapter {adapter} is neither {' nor '.join(ADAPTERS)} nor a Python file that is there")
    return str(path)


class _Workers:
    """One worker at a time; a new one when the last one died."""

    def __init__(self, python: str, scratch: Path, load: dict[str, Any], timeout: float) -> None:
        self._given = (python, scratch, load)
        self._timeout = timeout
        self._worker: WorkerProcess | None = None
        self.versions = ""

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._worker is None:
            self._worker, said = started(*self._given, _LOADING)
            self.versions = ", ".join(f"{name} {version}" for name, version in said["versions"].items())
        try:
            said = self._worker.ask(message, self._timeout)
        except WorkerDied:
            self.end()
            raise
        if "CUDA error" in said.get("error", ""):  # the device is of no use to this process any more
            self.end()
            raise WorkerDied(said["error"][:500])
        return said

    def end(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None


def _answers(
    settings: TextSettings, workers: _Workers, scratch: Path, work: Sequence[ClipQueries]
) -> Iterator[tuple[Query, dict[str, Any]]]:
    for clip, saved in _saved_frames(settings, scratch, work):
        for query in clip.queries:
            if isinstance(saved, str):
                yield query, {"status": "failed", "kind": "decode", "why": saved}
            else:
                yield query, _one(settings, workers, saved, query)
        if isinstance(saved, Path):
            saved.unlink(missing_ok=True)


def _one(settings: TextSettings, workers: _Workers, frames: Path, query: Query) -> dict[str, Any]:
    prompts = prompt_set(settings.prompts)
    text = prompts.caption if query.question is None else prompts.question.format(question=query.question)
    message = {
        "ask": query.id,
        "frames": str(frames),
        "prompt": f"{prompts.system}\n\n{text}" if prompts.system else text,
        "settings": settings.to_dict(),
    }
    for last_try in (False, True):
        try:
            said = workers.ask(message)
        except WorkerDied as error:
            if error.hung or last_try:
                return {"status": "failed", "kind": "timeout" if error.hung else "crash", "why": str(error)}
            continue
        if "error" in said:
            return {"status": "failed", "kind": "error", "why": said["error"][:1000]}
        answer = said["text"].encode("utf-8", "replace").decode().strip()
        if not answer:
            return {"status": "failed", "kind": "empty", "why": "the answer is empty"}
        return {"status": "ok", "text": answer, "served": workers.versions}
    raise AssertionError("the last try returns")


def _saved_frames(
    settings: TextSettings, scratch: Path, work: Sequence[ClipQueries]
) -> Iterator[tuple[ClipQueries, Path | str]]:
    """Every clip with a file of its frames, or why there is none; the next ones are read meanwhile."""

    def save(number: int, clip: ClipQueries) -> Path | str:
        try:
            frames = read_frames(clip.video, settings.frames, settings.frame_sampling).frames
        except (ClipError, OSError) as error:
            return str(error)
        path = scratch / f"{number}.npy"
        np.save(path, frames, allow_pickle=False)
        return path

    with ThreadPoolExecutor(1, thread_name_prefix="frames") as pool:
        ahead: deque[tuple[ClipQueries, Future[Path | str]]] = deque()
        for number, clip in enumerate(work):
            ahead.append((clip, pool.submit(save, number, clip)))
            if len(ahead) > _AHEAD:
                ready, future = ahead.popleft()
                yield ready, future.result()
        for ready, future in ahead:
            yield ready, future.result()
