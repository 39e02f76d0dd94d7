"""Requests on threads that nobody has to wait for: a stopped run ends at once, not when the last reply is in."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

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
