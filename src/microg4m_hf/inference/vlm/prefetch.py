"""Clips read and made ready by threads while the model works on earlier ones."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ...errors import ClipError, MicroG4MError
from ..frames import read_shown
from ..items import ClipWork, Settings
from .inputs import Messenger, Prepared, Preparer


@dataclass(frozen=True)
class Unready:
    """Why nothing can be asked about a clip."""

    why: str
    the_clips_fault: bool


Ready = list[Prepared] | Unready


class Ahead:
    """``for clip, ready in Ahead(...).over(work)``: ``ready`` is a list of :class:`Prepared`, or :class:`Unready`.

    Decoders and resizers work outside Python's lock, so threads are enough; at most ``depth`` clips wait in memory.
    """

    def __init__(self, messenger: Messenger, settings: Settings, *, workers: int, depth: int) -> None:
        self._messenger, self._settings = messenger, settings
        self._workers, self._depth = workers, depth
        self._own = threading.local()
        self._copying = threading.Lock()
        self.why_not_shared = ""

    def over(self, work: Sequence[ClipWork]) -> Iterator[tuple[ClipWork, Ready]]:
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="clips")
        waiting: deque[tuple[ClipWork, Future[Ready]]] = deque()
        try:
            for clip in work:
                waiting.append((clip, pool.submit(self._one, clip)))
                if len(waiting) >= self._depth:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, clip: ClipWork) -> Ready:
        try:
            shown = read_shown(clip.video, self._settings.frames, self._settings.pick)
        except (ClipError, OSError) as error:
            return Unready(f"the clip cannot be read: {' '.join(str(error).split())}", the_clips_fault=True)
        preparer = self._preparer()
        try:
            ready = preparer.prepare(clip, shown)
        except MicroG4MError:
            raise
        except Exception as error:  # whatever a processor raises, it is this clip that has no answer
            return Unready(short(error), the_clips_fault=False)
        if not preparer.shares:
            self.why_not_shared = preparer.why_not
        return ready

    def _preparer(self) -> Preparer:
        """Every thread has a processor of its own."""
        if not hasattr(self._own, "preparer"):
            with self._copying:
                messenger = copy.copy(self._messenger)
                messenger.processor = copy.deepcopy(self._messenger.processor)
            self._own.preparer = Preparer(messenger)
        return self._own.preparer


def short(error: BaseException) -> str:
    """An exception in one line.

    >>> short(ValueError("too  long"))
    'ValueError: too long'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
