"""Open a clip as a sequence of frames: how many it shows, when, and their pixels."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ClipError
from .backends import read_stored_frames, resolve_backend
from .index import FrameIndex, read_index
from .mp4 import IDENTITY, displayed_size, rotate_frame
from .pyav import Part, drop_undecodable_frames
from .sampling import as_int
from .source import ClipSource, as_source

Frames = NDArray[np.uint8]


class Clip:
    """An opened clip, as :func:`open_clip` returns it.

    Frame ``i`` is the i-th frame that a player shows: presentation order, edit lists and rotation are respected, frame
    counts in the header are not trusted. The pixels are the same whichever backend decodes them. A clip holds no open
    file and no decoder, so it works in threads and forked workers; unpickling opens it again from its source. Length,
    size and rate stay available after :meth:`close`, frames and times do not.

    Attributes:
        name: The name in messages: the path, or ``<bytes>``.
        backend: The decoder: ``pyav``, ``decord`` or ``torchcodec``.
        width: Width as displayed, after rotation.
        height: Height as displayed, after rotation.
        fps: Average frames per second; use :meth:`times` where the rate may vary.
    """

    def __init__(self, source: ClipSource, index: FrameIndex, backend: str) -> None:
        self.name, self.backend, self.fps = source.name, backend, _average_fps(index)
        self.width, self.height = displayed_size(index.width, index.height, index.matrix)
        self._source, self._length = source, len(index.pts)
        self._index: FrameIndex | None = index

    def __len__(self) -> int:
        return self._length

    def times(self, indices: Iterable[int] | None = None) -> NDArray[np.float64]:
        """Return presentation times in seconds.

        Args:
            indices: The frames, all by default.

        Raises:
            IndexError: The clip has no such frame.
            ClipError: The clip was closed.
        """
        index = self._open_index()
        wanted = range(len(index.pts)) if indices is None else self._check_indices(indices)
        return np.array([float(index.pts[i] * index.time_base) for i in wanted], dtype=np.float64)

    def frames(self, indices: Iterable[int], part: Part | None = None) -> Frames:
        """Return pixels (n, height, width, 3), uint8 RGB.

        Args:
            indices: The frames, in any order and as often as wanted.
            part: Return only this part of each frame, in less time: top, left, bottom and right in pixels.

        Raises:
            IndexError: The clip has no such frame, or its frames no such part.
            ClipError: A frame is damaged, or the clip was closed.
        """
        wanted = self._check_indices(indices)
        top, left, bottom, right = part or (0, 0, self.height, self.width)
        slots: dict[int, list[int]] = {}
        for slot, i in enumerate(wanted):
            slots.setdefault(i, []).append(slot)
        decoded = self._decode(sorted(slots), part)
        out = np.empty((len(wanted), bottom - top, right - left, 3), dtype=np.uint8)
        for i, frame in decoded:
            first, *repeats = slots[i]
            out[first] = frame
            for slot in repeats:
                out[slot] = out[first]
        return out

    def stream(self, indices: Iterable[int], part: Part | None = None) -> Iterator[Frames]:
        """Return an iterator over frames in ascending order, without memory for all of them.

        A frame, uint8 RGB of shape (height, width, 3), is valid until the next one; one that is wanted again is the
        same object.

        Args:
            indices: The frames, each as often as wanted.
            part: As for :meth:`frames`.

        Raises:
            IndexError: As for :meth:`frames`.
            ClipError: As for :meth:`frames`; for a damaged frame, when it is due.
        """
        wanted = collections.Counter(self._check_indices(indices))
        decoded = self._decode(sorted(wanted), part)
        return (frame for i, frame in decoded for _ in range(wanted[i]))

    def _decode(self, wanted: list[int], part: Part | None) -> Iterator[tuple[int, Frames]]:
        """Return an iterator over (i, frame or part of it) of the wanted frames, as they are displayed."""
        index = self._open_index()
        top, left, bottom, right = part or (0, 0, self.height, self.width)
        if not (0 <= top < bottom <= self.height and 0 <= left < right <= self.width):
            raise IndexError(f"{self.name}: frames of {self.width}×{self.height} have no part {part}")
        if not wanted:
            return iter(())
        if index.matrix == IDENTITY:
            stored = part if (top, left, bottom, right) != (0, 0, self.height, self.width) else None
            return read_stored_frames(self._source, index, wanted, self.backend, stored)
        frames = read_stored_frames(self._source, index, wanted, self.backend)
        return ((i, rotate_frame(frame, index.matrix)[top:bottom, left:right]) for i, frame in frames)

    def close(self) -> None:
        """Free the memory of the clip; reading frames or times afterwards is an error."""
        self._index = None

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., Clip], tuple[Any, ...]]:
        return functools.partial(open_clip, self._source, backend=self.backend), ()

    def __repr__(self) -> str:
        size = f"{len(self)} frames {self.width}×{self.height}, {self.fps:g} fps"
        return f"<Clip {self.name}, {size}, {'closed' if self._index is None else self.backend}>"

    def _open_index(self) -> FrameIndex:
        if self._index is None:
            raise ClipError(f"{self.name}: the clip was closed; read frames inside the with-block, or open it again")
        return self._index

    def _check_indices(self, indices: Iterable[int]) -> list[int]:
        count = len(self)
        if isinstance(indices, str | bytes) or not isinstance(indices, Iterable):
            raise TypeError(f"{self.name}: frame indices must be a sequence of whole numbers, not {indices!r}")
        checked = []
        for value in indices:
            i = as_int(value, f"{self.name}: a frame index")
            if not 0 <= i < count:
                raise IndexError(f"{self.name}: there is no frame {i}; the clip shows {count} frames, 0 to {count - 1}")
            checked.append(i)
        return checked


def open_clip(source: Any, *, backend: str = "auto") -> Clip:
    """Open a clip.

    Args:
        source: A path, bytes, or a row's ``{"path", "bytes"}``, also of a dataset that was published on the Hub.
        backend: ``"pyav"``, ``"decord"``, ``"torchcodec"``, or ``"auto"`` for the fastest installed one that returns
            the right frames, which is PyAV.

    Raises:
        ClipError: The file is not a valid clip; the message names it and the reason.
        MissingExtraError: The decoder is not installed.

    Example:
        >>> open_clip(b"no video")
        Traceback (most recent call last):
        ...
        microg4m_hf.errors.ClipError: <bytes>: is not a video file; give mp4, mov, mkv or webm
    """
    clip = as_source(source)
    return Clip(clip, drop_undecodable_frames(read_index(clip)), resolve_backend(backend))


def read_frames(
    source: Any, plan: Callable[[int], Sequence[int] | NDArray[np.int64]] | Iterable[int], backend: str = "auto"
) -> Frames:
    """Open a clip and return frames of it, as in ``read_frames(path, lambda n: uniform(n, 8))``.

    Args:
        source: As for :func:`open_clip`.
        plan: Indices, or a function from the number of frames to indices, such as :func:`every`.
        backend: As for :func:`open_clip`.

    Raises:
        ClipError: The file is not a valid clip, or a frame is damaged.
        IndexError: The clip has no such frame.
    """
    with open_clip(source, backend=backend) as clip:
        return clip.frames(plan(len(clip)) if callable(plan) else plan)


def _average_fps(index: FrameIndex) -> float:
    stated = float(index.header_fps or 0)
    span = float((index.pts[-1] - index.pts[0]) * index.time_base)
    if span <= 0:
        return stated
    measured = (len(index.pts) - 1) / span
    # Containers that count in milliseconds blur 30000/1001; the header's rate is exact where it agrees.
    return stated if stated and abs(measured / stated - 1) < 0.005 else measured
