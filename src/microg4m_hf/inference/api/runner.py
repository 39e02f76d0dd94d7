"""Generate texts with a model behind an OpenAI-compatible server."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from ...errors import ClipError, ServerError
from ...extras import require
from ..frames import read_frames
from ..items import ClipQueries, Query, TextSettings
from ..run import Results, Runner, stop_after_failures
from .client import Endpoint, RequestGate, RunStopped, make_client, send_request
from .messages import build_request, encode_images

T = TypeVar("T")

# Failures that an item causes itself. All others may be a state of the server.
_ITEM_FAILURES = ("refusal", "content_filter", "empty", "length", "decode")


def api_runner(settings: TextSettings, endpoint: Endpoint | None = None) -> Runner:
    """Return a runner that sends at most ``endpoint.concurrency`` requests at a time.

    A failure of one item is recorded. If many items fail in a row, the server is unavailable: ``ServerError`` stops the
    run, and the items stay missing and are sent again by the same command.
    """
    require("openai", "a model behind a server")
    server = (endpoint or Endpoint()).resolve()

    def runner(clips: Sequence[ClipQueries]) -> Results:
        client, gate = make_client(server), RequestGate()
        limit = max(10, 2 * server.concurrency)
        try:
            tasks = _make_tasks(settings, server, client, gate, clips)
            results = run_threads(tasks, server.concurrency, 2 * server.concurrency, gate.stopped)
            yield from stop_after_failures(results, server.base_url, _ITEM_FAILURES, limit)
        finally:
            gate.stopped.set()
            client.close()  # cancels the requests that are still open

    return runner


class _LazyImages:
    """The encoded frames of a clip, or why it cannot be decoded; computed when its first query needs them."""

    def __init__(self, settings: TextSettings, clip: ClipQueries) -> None:
        self._settings, self._clip = settings, clip
        self._lock = threading.Lock()
        self._images: list[dict[str, Any]] | str | None = None

    def get(self) -> list[dict[str, Any]] | str:
        with self._lock:
            if self._images is None:
                try:
                    settings, clip = self._settings, self._clip
                    frames = read_frames(clip.video, settings.frames, settings.frame_sampling, clip.turn).frames
                    self._images = encode_images(frames, settings.image_side, settings.image_detail)
                except (ClipError, OSError) as error:
                    self._images = str(error)
            return self._images


def _make_tasks(
    settings: TextSettings, endpoint: Endpoint, client: Any, gate: RequestGate, clips: Sequence[ClipQueries]
) -> Iterator[Callable[[], tuple[Query, dict[str, Any]]]]:
    def run_query(lazy_images: _LazyImages, query: Query) -> tuple[Query, dict[str, Any]]:
        images = lazy_images.get()
        if isinstance(images, str):
            return query, {"status": "failed", "kind": "decode", "why": images}
        try:
            record = send_request(client, endpoint, gate, build_request(settings, images, query))
        except ServerError:
            gate.stopped.set()  # before this thread takes its next task
            raise
        record["served"] = f"{record.get('served', settings.model)} at {urlsplit(endpoint.base_url).netloc}"
        for name in ("text", "why", "served"):
            if name in record:
                record[name] = endpoint.redact_answer(record[name])
        if endpoint.price_in is not None or endpoint.price_out is not None:
            used = record.get("tokens") or {}
            cost = used.get("in", 0) * (endpoint.price_in or 0) + used.get("out", 0) * (endpoint.price_out or 0)
            record["cost"] = cost / 1000
        return query, record

    for clip in clips:
        images = _LazyImages(settings, clip)
        for query in clip.queries:
            yield functools.partial(run_query, images, query)


def run_threads(tasks: Iterator[Callable[[], T]], threads: int, max_open: int, stop: threading.Event) -> Iterator[T]:
    """Run tasks on daemon threads and yield their results as they complete.

    Python waits for the threads of a ``ThreadPoolExecutor`` when it exits, but not for these, so a stopped run ends at
    once. At most ``max_open`` tasks are taken before their results are in. After an error, ``stop`` is set, no more
    tasks are taken, and the error is raised behind the results that are still on their way.

    Example:
        >>> sorted(run_threads((lambda n=n: n * n for n in range(4)), 2, 3, threading.Event()))
        [0, 1, 4, 9]
    """
    todo: queue.SimpleQueue[Callable[[], T] | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        while (task := todo.get()) is not None:
            try:
                done.put((task(), None))
            except BaseException as error:
                done.put((None, error))

    for _ in range(threads):
        threading.Thread(target=work, name="request", daemon=True).start()
    n_open = 0
    fatal: BaseException | None = None
    try:
        while True:
            while fatal is None and n_open < max_open and (task := next(tasks, None)) is not None:
                todo.put(task)
                n_open += 1
            if not n_open:
                break
            result, error = done.get()
            n_open -= 1
            if error is not None:
                fatal = error if fatal is None or isinstance(fatal, RunStopped) else fatal
                stop.set()
            else:
                yield cast("T", result)
        if fatal is not None:
            raise fatal
    finally:
        for _ in range(threads):
            todo.put(None)
