"""Captions and answers from a model behind a server that speaks the OpenAI chat-completions protocol."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ...errors import ClipError, ServerError
from ...extras import require
from ..frames import read_frames
from ..items import ClipQueries, Query, TextSettings
from ..run import Runner, stop_when_hopeless
from .client import Endpoint, Pause, Stopped, answer, make_client
from .messages import image_parts, request

# Requests on threads that nobody has to wait for: a stopped run ends at once, not when the last reply is in.

Result = TypeVar("Result")


def as_they_come(
    tasks: Iterator[Callable[[], Result]], threads: int, ahead: int
) -> Iterator[tuple[Result | None, BaseException | None]]:
    """Do the tasks on ``threads`` threads, with at most ``ahead`` taken from ``tasks`` and not done yet.

    The threads of a ``ThreadPoolExecutor`` would be waited for when Python ends; these would not.

    >>> sorted(result for result, error in as_they_come((lambda n=n: n * n for n in range(4)), 2, 3))
    [0, 1, 4, 9]
    """
    todo: queue.SimpleQueue[Callable[[], Result] | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        while (task := todo.get()) is not None:
            try:
                done.put((task(), None))
            except BaseException as error:
                done.put((None, error))

    for _ in range(threads):
        threading.Thread(target=work, name="request", daemon=True).start()
    under_way, more = 0, True
    try:
        while more or under_way:
            while more and under_way < ahead:
                task = next(tasks, None)
                more = task is not None
                if task is not None:
                    todo.put(task)
                    under_way += 1
            if under_way:
                yield done.get()
                under_way -= 1
    finally:
        for _ in range(threads):
            todo.put(None)


# What a model said about one item; everything else may be the server's state and says nothing about the item.
_ABOUT_THE_ITEM = ("refusal", "content_filter", "empty", "length", "decode")


def api_runner(settings: TextSettings, endpoint: Endpoint) -> Runner:
    """A runner over a served model: never more than ``endpoint.concurrency`` requests at a time.

    Failures of one item are its record. When the server itself seems to be gone (so many items in a row fail
    that no thread was lucky), ``ServerError`` ends the run; those items stay missing and come again.
    """
    require("openai", "a model behind a server")

    def runner(work: Sequence[ClipQueries]) -> Iterator[tuple[Query, dict[str, Any]]]:
        client, pause = make_client(endpoint), Pause()
        limit = max(10, 2 * endpoint.concurrency)
        tasks = _tasks(settings, endpoint, client, pause, work)
        try:
            results = _done(tasks, pause, endpoint.concurrency)
            yield from stop_when_hopeless(results, endpoint.base_url, _ABOUT_THE_ITEM, limit)
        finally:
            pause.stop()
            client.close()  # ends the requests that are still under way

    return runner


class _Images:
    """The frames of a clip, read and packed when the first of its questions needs them, and only once."""

    def __init__(self, settings: TextSettings, clip: ClipQueries) -> None:
        self._settings, self._clip = settings, clip
        self._lock = threading.Lock()
        self._parts: list[dict[str, Any]] | Exception | None = None

    def parts(self) -> list[dict[str, Any]]:
        with self._lock:
            if self._parts is None:
                try:
                    frames = read_frames(self._clip.video, self._settings.frames, self._settings.frame_sampling).frames
                    self._parts = image_parts(frames, self._settings.image_side, self._settings.image_detail)
                except (ClipError, OSError) as error:
                    self._parts = error
        if isinstance(self._parts, Exception):
            raise self._parts
        return self._parts


def _tasks(
    settings: TextSettings, endpoint: Endpoint, client: Any, pause: Pause, work: Sequence[ClipQueries]
) -> Iterator[Any]:
    def one(images: _Images, query: Query) -> tuple[Query, dict[str, Any]]:
        try:
            parts = images.parts()
        except (ClipError, OSError) as error:
            return query, {"status": "failed", "kind": "decode", "why": str(error)}
        try:
            record = answer(client, endpoint, pause, request(settings, parts, query))
        except ServerError:
            pause.stop()  # before this thread takes the next task
            raise
        record["served"] = f"{record.get('served', settings.model)} at {urlsplit(endpoint.base_url).netloc}"
        for name in ("text", "why", "served"):
            if name in record:
                record[name] = endpoint.answer_without_key(record[name])
        return query, record | _cost(endpoint, record.get("tokens") or {})

    for clip in work:
        images = _Images(settings, clip)
        for query in clip.queries:
            yield functools.partial(one, images, query)


def _done(tasks: Iterator[Any], pause: Pause, concurrency: int) -> Iterator[tuple[Query, dict[str, Any]]]:
    """Results as they come, with few clips in memory.

    When one of them ends the run, no request begins any more; answers that are on their way are waited for.
    """
    fault: BaseException | None = None

    def until_fault() -> Iterator[Any]:
        for task in tasks:
            if fault is not None:
                return
            yield task

    for result, error in as_they_come(until_fault(), concurrency, 2 * concurrency):
        if error is not None:
            fault = error if fault is None or isinstance(fault, Stopped) else fault
            pause.stop()  # for any other error
        elif result is not None:
            yield result
    if fault is not None:
        raise fault


def _cost(endpoint: Endpoint, tokens: dict[str, int]) -> dict[str, float]:
    if endpoint.price_in is None and endpoint.price_out is None:
        return {}
    spent = tokens.get("in", 0) * (endpoint.price_in or 0) + tokens.get("out", 0) * (endpoint.price_out or 0)
    return {"cost": spent / 1000}
