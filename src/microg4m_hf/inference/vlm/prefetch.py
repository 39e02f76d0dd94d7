"""Decode clips and prepare their inputs in threads while the model works on earlier ones."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...errors import ClipError, MicroG4MError
from ..frames import prefetch, read_frames
from ..items import ClipQueries, TextSettings
from .inputs import ClipInputs, InputPreparer, PromptBuilder


@dataclass(frozen=True)
class PrepareFailure:
    """Why the inputs of a clip could not be prepared."""

    why: str
    is_decode_error: bool


class Prefetcher:
    """Yield clips with their inputs, or with the reason why there are none."""

    def __init__(self, prompt_builder: PromptBuilder, settings: TextSettings) -> None:
        self._prompt_builder, self._settings = prompt_builder, settings
        self._thread = threading.local()
        self._copy_lock = threading.Lock()
        self.not_shared_because = ""

    def __call__(
        self, clips: Sequence[ClipQueries], *, workers: int, depth: int
    ) -> Iterator[tuple[ClipQueries, list[ClipInputs] | PrepareFailure]]:
        return prefetch(self._prepare, clips, workers=workers, depth=depth)

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
