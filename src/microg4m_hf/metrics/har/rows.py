"""One row per box and action: the form in which all predictions and references meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import DataError, PredictionError

# Arrow columns as numpy and back, through their buffers: pyarrow's own ways import pandas, which takes seconds.


def to_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray | None:
    """A numeric column without empty places as an array that shares its memory; None for others.

    >>> to_numpy(pa.array([1.5, 2.5]))
    array([1.5, 2.5])
    """
    if isinstance(column, pa.ChunkedArray):
        chunks = [to_numpy(chunk) for chunk in column.chunks]
        if not chunks or any(chunk is None for chunk in chunks):
            return None if chunks else np.empty(0)
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)  # type: ignore[arg-type]
    kind = column.type
    if column.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    letter = "f" if pa.types.is_floating(kind) else "i" if pa.types.is_signed_integer(kind) else "u"
    dtype = np.dtype(f"{letter}{kind.bit_width // 8}")
    data = column.buffers()[1]
    if data is None:
        return np.empty(0, dtype)
    return np.frombuffer(data, dtype)[column.offset : column.offset + len(column)]


def from_numpy(values: np.ndarray) -> pa.Array:
    """An Arrow array over the memory of a one-dimensional array of 32- or 64-bit numbers.

    >>> from_numpy(np.array([1, 2])).to_pylist()
    [1, 2]
    """
    flat = np.ascontiguousarray(values)
    types = {"i4": pa.int32(), "i8": pa.int64(), "f4": pa.float32(), "f8": pa.float64()}
    return pa.Array.from_buffers(types[flat.dtype.str[1:]], flat.size, [None, pa.py_buffer(flat)])


FRAME_LIMIT = 1 << 31


@dataclass(frozen=True)
class ActionRows:
    """Columns of equal length; ``name`` says in messages where they came from, ``first_line`` where row 0 stands."""

    video: np.ndarray  # index into `videos`
    videos: tuple[str, ...]
    frame: np.ndarray
    box: np.ndarray  # (rows, 4): x1, y1, x2, y2 as fractions of width and height
    action: np.ndarray  # released ids, 1..80
    score: np.ndarray | None = None
    person: np.ndarray | None = None  # index of a person within the clip, -1 where unknown
    domain: np.ndarray | None = None  # per video, where the input carries it
    name: str = "rows"
    first_line: int | None = None
    columns: int | None = None  # classes per box, where the input was a matrix of scores

    def __len__(self) -> int:
        return len(self.action)

    @property
    def key(self) -> np.ndarray:
        """One number per video and frame."""
        return self.video.astype(np.int64) * FRAME_LIMIT + self.frame

    def take(self, which: np.ndarray) -> ActionRows:
        """Some of the rows, in the order asked for."""
        return replace(
            self,
            video=self.video[which],
            frame=self.frame[which],
            box=self.box[which],
            action=self.action[which],
            score=None if self.score is None else self.score[which],
            person=None if self.person is None else self.person[which],
            first_line=None,
        )

    def where(self, row: int) -> str:
        """Words for one row in a message."""
        place = f"row {row}" if self.first_line is None else f"line {row + self.first_line}"
        return f"{self.name}, {place}, clip {self.videos[self.video[row]]!r}, frame {int(self.frame[row])}"


def fail(rows: ActionRows | str, problem: str, hint: str, *, references: bool = False) -> PredictionError | DataError:
    """The error to raise: what was given, why it cannot work, what to do."""
    name = rows if isinstance(rows, str) else rows.name
    message = f"{name}: {problem} ({hint})"
    return DataError(message) if references else PredictionError(message)


def encoded(values: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """A code for each entry, and the distinct strings.

    >>> codes, names = encoded(["b", "a", "b"])
    >>> codes.tolist(), names
    ([0, 1, 0], ('b', 'a'))
    """
    if not isinstance(values, (pa.Array, pa.ChunkedArray)):
        place: dict[str, int] = {}
        listed = values.tolist() if isinstance(values, np.ndarray) else values
        found = [place.setdefault(value, len(place)) for value in listed]
        strange = [value for value in place if not isinstance(value, str)]
        if strange:
            raise TypeError(repr(strange[0]))
        return np.array(found, dtype=np.int64), tuple(place)
    array = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        return np.empty(0, dtype=np.int64), ()
    codes, names = to_numpy(array.indices), array.dictionary.to_pylist()
    if codes is None or not all(isinstance(name, str) for name in names):
        raise TypeError("None" if codes is None else repr(names[0]))
    return codes.astype(np.int64), tuple(names)


def small_codes(*keys: np.ndarray) -> list[np.ndarray]:
    """Small integers for large ones, the same for equal keys in all arrays; neighbours are compared first.

    >>> [codes.tolist() for codes in small_codes(np.array([9, 9, 4]), np.array([4, 7]))]
    [[2, 2, 0], [0, 1]]
    """
    begins = [np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if key.size else np.empty(0, int) for key in keys]
    runs = [key[begin] for key, begin in zip(keys, begins, strict=True)]
    _, code = np.unique(np.concatenate(runs), return_inverse=True)
    parts = np.split(code, np.cumsum([run.size for run in runs])[:-1])
    return [
        np.repeat(part, np.diff(np.r_[begin, key.size])) for part, begin, key in zip(parts, begins, keys, strict=True)
    ]


def same_videos(predictions: ActionRows, references: ActionRows) -> ActionRows:
    """The predictions with video codes of the references; clips the references lack get codes after theirs."""
    if predictions.videos == references.videos:
        return predictions
    place = {video: index for index, video in enumerate(references.videos)}
    videos = list(references.videos)
    moved = np.empty(len(predictions.videos), dtype=np.int64)
    for old, video in enumerate(predictions.videos):
        if video not in place:
            place[video] = len(videos)
            videos.append(video)
        moved[old] = place[video]
    return replace(predictions, video=moved[predictions.video], videos=tuple(videos))
