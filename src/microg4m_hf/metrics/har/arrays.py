"""Numpy arrays from tensors, Arrow columns and lists.

pyarrow's own conversions import pandas, which takes seconds; these do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa


def as_array(values: Any) -> Any:
    """Return numpy for a tensor (any device or dtype, with gradient) or an Arrow column, and anything else as it is."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if "bfloat16" in str(values.dtype):
            values = values.float()
        return values.numpy()
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        plain = to_numpy(values)
        return values.to_pylist() if plain is None else plain
    return values


def to_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray | None:
    """Return a numeric column without nulls as an array that shares its memory; None for other columns.

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


def to_matrix(values: Any) -> np.ndarray | None:
    """Return an Arrow list column as a matrix when all its lists have one length; None otherwise."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not isinstance(values, pa.Array) or values.null_count or len(values) == 0:
        return None
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        return None
    flat, offsets = to_numpy(values.flatten()), to_numpy(values.offsets)
    if flat is None or offsets is None:
        return None
    lengths = np.diff(offsets)
    if (lengths != lengths[0]).any():
        return None
    return flat.reshape(len(values), int(lengths[0])).astype(np.float64)


def encode_strings(values: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a code for each entry, and the distinct strings; raise ``TypeError`` for an entry of another type.

    >>> codes, names = encode_strings(["b", "a", "b"])
    >>> codes.tolist(), names
    ([0, 1, 0], ('b', 'a'))
    """
    if not isinstance(values, (pa.Array, pa.ChunkedArray)):
        code_of: dict[str, int] = {}
        plain = values.tolist() if isinstance(values, np.ndarray) else values
        found = [code_of.setdefault(value, len(code_of)) for value in plain]
        other = [value for value in code_of if not isinstance(value, str)]
        if other:
            raise TypeError(repr(other[0]))
        return np.array(found, dtype=np.int64), tuple(code_of)
    array = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        return np.empty(0, dtype=np.int64), ()
    codes, names = to_numpy(array.indices), array.dictionary.to_pylist()
    if codes is None or not all(isinstance(name, str) for name in names):
        raise TypeError("None" if codes is None else repr(names[0]))
    return codes.astype(np.int64), tuple(names)
