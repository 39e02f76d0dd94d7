"""Arrow columns as numpy and back, through their buffers: pyarrow's own ways import pandas, which takes seconds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


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
