"""Decode clips and prepare their inputs in threads while the model works on earlier ones."""

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
class PrepareFailure:
    """Why the inputs of a clip could not be prepared."""

    why: str
    is_decode_error: bool


class Prefetcher:
    """Iterate over clips with their inputs, or with the reason why there are none.

    Decoders and image processors release the GIL, so threads are sufficient.

    Args:
        prompt_builder: Builds the prompts.
        settings: The settings of the run.
        workers: The number of threads.
        depth: The largest number of clips in memory.
    """

    def __init__(self, prompt_builder: PromptBuilder, settings: TextSettings, *, workers: int, depth: int) -> None:
        self._prompt_builder, self._settings = prompt_builder, settings
        self._workers, self._depth = workers, depth
        self._thread = threading.local()
        self._copy_lock = threading.Lock()
        self.not_shared_because = ""

    def __call__(self, clips: Sequence[ClipQueries]) -> Iterator[tuple[ClipQueries, list[ClipInputs] | PrepareFailure]]:
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="clips")
        waiting: deque[tuple[ClipQueries, Future[list[ClipInputs] | PrepareFailure]]] = deque()
        try:
            for clip in clips:
                waiting.append((clip, pool.submit(self._prepare, clip)))
                if len(waiting) >= self._depth:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _prepare(self, clip: ClipQueries) -> list[ClipInputs] | PrepareFailure:
        try:
            frames = read_frames(clip.video, self._settings.frames, self._settings.frame_sampling)
        except (ClipError, OSError) as error:
            message = f"the clip cannot be read: {' '.join(str(error).split())}"
            return PrepareFailure(message, is_decode_error=True)
        preparer = self._preparer_of_thread()
        try:
            items = preparer.prepare(clip, frames)
        except MicroG4MError:
            raise
        except Exception as error:  # processors raise all kinds of errors; only this clip fails
            return PrepareFailure(format_error(error), is_decode_error=False)
        if preparer.not_shared_because:
            self.not_shared_because = preparer.not_shared_because
        return items

    def _preparer_of_thread(self) -> InputPreparer:
        if not hasattr(self._thread, "preparer"):
            with self._copy_lock:
                prompt_builder = copy.copy(self._prompt_builder)
                prompt_builder.processor = copy.deepcopy(self._prompt_builder.processor)
            self._thread.preparer = InputPreparer(prompt_builder)
        return self._thread.preparer


def format_error(error: BaseException) -> str:
    """Return an exception as one line.

    >>> format_error(ValueError("too  long"))
    'ValueError: too long'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
