"""When to try again: what a server asks for, a growing wait otherwise, and one pause for all when it is crowded."""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Mapping


class Pause:
    """A gate in front of all requests; a server that is crowded for one is crowded for all."""

    def __init__(self) -> None:
        self._until = 0.0
        self._stopped = threading.Event()

    def extend(self, seconds: float) -> None:
        self._until = max(self._until, time.monotonic() + seconds)

    def stop(self) -> None:
        """Wake up everyone who waits, for good."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def sleep(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def pass_through(self) -> None:
        while (left := self._until - time.monotonic()) > 0 and not self.stopped:
            self.sleep(left * random.uniform(1.0, 1.1))  # not all at the same moment


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait in ``retry-after-ms`` or ``Retry-After`` (seconds or a date), if it does.

    >>> asked_wait({"retry-after": "3"}), asked_wait({"retry-after": "soon"}), asked_wait({})
    (3.0, None, None)
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        said = headers.get(name)
        if said is None:
            continue
        try:
            seconds = float(said) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def growing_wait(first: float, tries: int) -> float:
    """``first`` seconds after the first try, then twice as long each time, a minute at most, not all at once.

    >>> 0.75 <= growing_wait(0.5, 2) <= 1.0, growing_wait(0.5, 20) <= 60
    (True, True)
    """
    return min(60.0, first * 2 ** min(tries - 1, 20)) * random.uniform(0.75, 1.0)
