"""Clips read and made ready by threads while the model works on earlier ones."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ...errors import ClipError, MicroG4MError
from ..frames import read_frames
from ..items import ClipQueries, TextSettings
from .inputs import ClipInputs, InputPreparer, PromptBuilder


@dataclass(frozen=True)
class Unready:
    """Why nothing can be asked about a clip."""

    why: str
    the_clips_fault: bool


Ready = list[ClipInputs] | Unready


class Prefetcher:
    """``for clip, ready in Prefetcher(...).over(work)``: ``ready`` is a list of inputs, or :class:`Unready`.

    Decoders and resizers work outside Python's lock, so threads are enough; at most ``depth`` clips wait in memory.
    """

    def __init__(self, prompt_builder: PromptBuilder, settings: TextSettings, *, workers: int, depth: int) -> None:
        self.prompt_builder, self._settings = prompt_builder, settings
        self._workers, self._depth = workers, depth
        self._own = threading.local()
        self._copying = threading.Lock()
        self.why_not_shared = ""

    def over(self, work: Sequence[ClipQueries]) -> Iterator[tuple[ClipQueries, Ready]]:
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="clips")
        waiting: deque[tuple[ClipQueries, Future[Ready]]] = deque()
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

    def _one(self, clip: ClipQueries) -> Ready:
        try:
            shown = read_frames(clip.video, self._settings.frames, self._settings.frame_sampling)
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

    def _preparer(self) -> InputPreparer:
        """Every thread has a processor of its own."""
        if not hasattr(self._own, "preparer"):
            with self._copying:
                prompt_builder = copy.copy(self.prompt_builder)
                prompt_builder.processor = copy.deepcopy(self.prompt_builder.processor)
            self._own.preparer = InputPreparer(prompt_builder)
        return self._own.preparer


def short(error: BaseException) -> str:
    """An exception in one line.

    >>> short(ValueError("too  long"))
    'ValueError: too long'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
