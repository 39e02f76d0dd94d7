"""A clip as a sequence of frames: how many it shows, when, and their pixels."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ClipError
from .backends import chosen, pictures
from .index import Index, read_index, shown
from .pyav import settled
from .source import Source, as_source

Frames = NDArray[np.uint8]


class Clip:
    """An opened clip. Make one with :func:`open_clip`.

    Frame ``i`` is the i-th frame a player shows: presentation order, edit lists and turns honoured, header counts
    not believed. The pixels are the same whichever backend decodes them. A clip holds no open file and no
    decoder, so it may be used in threads and forked workers; pickling it opens it again from its source.
    What it says of itself (length, size, rate) is still there once it is closed; frames and times are not.
    """

    def __init__(self, source: Source, index: Index, backend: str) -> None:
        self._source, self._backend = source, backend
        self._index: Index | None = index
        self._frames, self._fps = len(index.times), _rate(index)
        self._height, self._width = (index.width, index.height) if index.turn[1] else (index.height, index.width)

    def __len__(self) -> int:
        return self._frames

    @property
    def name(self) -> str:
        """What messages call this clip: its path, or ``<bytes>``."""
        return self._source.name

    @property
    def backend(self) -> str:
        """The decoder that was chosen: ``pyav``, ``decord`` or ``torchcodec``."""
        return self._backend

    @property
    def height(self) -> int:
        """Height as shown, after turning."""
        return self._height

    @property
    def width(self) -> int:
        """Width as shown, after turning."""
        return self._width

    @property
    def fps(self) -> float:
        """Frames shown per second, on average; use :meth:`times` where the rate may vary."""
        return self._fps

    def times(self, indices: Iterable[int] | None = None) -> NDArray[np.float64]:
        """Presentation times in seconds of the frames asked for (of all, without argument)."""
        index = self._live()
        chosen = range(len(index.times)) if indices is None else self._checked(indices)
        return np.array([float(index.times[i] * index.time_base) for i in chosen], dtype=np.float64)

    def frames(self, indices: Iterable[int]) -> Frames:
        """Pixels (n, height, width, 3), uint8 RGB, in the order asked; a frame may be asked for more than once."""
        index = self._live()
        asked = self._checked(indices)
        out = np.empty((len(asked), self.height, self.width, 3), dtype=np.uint8)
        slots: dict[int, list[int]] = {}
        for slot, i in enumerate(asked):
            slots.setdefault(i, []).append(slot)
        if slots:
            for i, picture in pictures(self._source, index, sorted(slots), self._backend):
                first, *again = slots[i]
                out[first] = shown(picture, index.turn)
                for slot in again:
                    out[slot] = out[first]
        return out

    def close(self) -> None:
        """Free the clip's memory; asking it for frames or times afterwards is an error."""
        self._index = None

    def __enter__(self) -> Clip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., Clip], tuple[Any, ...]]:
        return _reopen, (self._source, self._backend)

    def __repr__(self) -> str:
        size = f"{len(self)} frames {self.width}×{self.height}, {self.fps:g} fps"
        return f"<Clip {self.name}, {size}, {'closed' if self._index is None else self.backend}>"

    def _live(self) -> Index:
        if self._index is None:
            raise ClipError(f"{self.name}: the clip was closed; read frames inside the with-block, or open it again")
        return self._index

    def _checked(self, indices: Iterable[int]) -> list[int]:
        count = len(self)
        if isinstance(indices, str | bytes) or not isinstance(indices, Iterable):
            raise TypeError(f"{self.name}: frames are asked for with a sequence of whole numbers, not {indices!r}")
        checked = []
        for value in indices:
            if isinstance(value, bool | np.bool_):
                raise TypeError(f"{self.name}: a frame is asked for with a whole number, not {value!r}")
            try:
                i = operator.index(value)
            except TypeError:
                raise TypeError(f"{self.name}: a frame is asked for with a whole number, not {value!r}") from None
            if not 0 <= i < count:
                raise IndexError(f"{self.name}: there is no frame {i}; the clip shows {count} frames, 0 to {count - 1}")
            checked.append(i)
        return checked


def open_clip(source: Any, *, backend: str = "auto") -> Clip:
    """Open a clip from a path, bytes, or a row's ``{"path", "bytes"}``, also of a data set published on the Hub.

    ``backend`` is ``"pyav"``, ``"decord"``, ``"torchcodec"`` or ``"auto"`` (the fastest installed one that gives
    the right frames, which is PyAV). A file that is no sound clip raises ``ClipError`` with its name.

    >>> open_clip(b"no video")
    Traceback (most recent call last):
    ...
    microg4m_hf.errors.ClipError: <bytes>: is no video file that clips come in (mp4, mov, mkv, webm)
    """
    given = as_source(source)
    return Clip(given, settled(read_index(given)), chosen(backend))


def read_frames(
    source: Any, plan: Callable[[int], Sequence[int] | NDArray[np.int64]] | Iterable[int], backend: str = "auto"
) -> Frames:
    """Frames of a clip in one step: by indices, or by a plan that is given the number of frames.

    ``read_frames(path, lambda n: uniform(n, 8))`` or ``read_frames(path, every)``.
    """
    with open_clip(source, backend=backend) as clip:
        return clip.frames(plan(len(clip)) if callable(plan) else plan)


def _rate(index: Index) -> float:
    said = float(index.rate) if index.rate else 0.0
    span = float((index.times[-1] - index.times[0]) * index.time_base)
    if span <= 0:
        return said
    counted = (len(index.times) - 1) / span
    # Containers that count in milliseconds blur 30000/1001; the header's rate is exact where it agrees.
    return said if said and abs(counted / said - 1) < 0.005 else counted


def _reopen(source: Source, backend: str) -> Clip:
    return open_clip(source, backend=backend)
