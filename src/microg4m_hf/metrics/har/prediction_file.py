"""The prediction file of our own runners: Parquet, one row per person, all scores of it in one list.

Columns: ``video_id``, ``frame``, ``person_id``, ``x1 y1 x2 y2`` (fractions), ``scores`` (a list of 50 or 80).
The file's metadata says under ``microg4m`` what made it, as JSON: model, revision, whether scores are logits, …
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...storage import write_atomic
from .arrow import from_numpy
from .columns import SIDES, as_array, known_names, rows_from_columns
from .rows import Rows, fail

METADATA = b"microg4m"


def write_predictions(
    path: str | os.PathLike[str],
    *,
    video_id: Sequence[str],
    frame: Any,
    boxes: Any,
    scores: Any,
    person_id: Any = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write one row per scored person; ``about`` (model, revision, scores_are, …) comes back with the scores.

    >>> import tempfile
    >>> path = write_predictions(
    ...     tempfile.mkdtemp() + "/p.parquet", video_id=["a_001"], frame=[45], boxes=[[0, 0, 1, 1]],
    ...     scores=np.zeros((1, 50)), about={"model": "x3d_s"})
    >>> read_about(path)
    {'model': 'x3d_s'}
    """
    box = np.asarray(as_array(boxes), dtype=np.float64).reshape(-1, 4)
    matrix = np.asarray(as_array(scores))
    if matrix.dtype != np.float64:
        matrix = matrix.astype(np.float32)
    if matrix.ndim != 2 or len(matrix) != len(box):
        raise fail(str(path), f"scores of shape {matrix.shape} for {len(box)} boxes", "give one list of scores per box")
    columns = {
        "video_id": pa.array(list(video_id), pa.string()),
        "frame": from_numpy(np.asarray(as_array(frame), np.int32)),
    }
    if person_id is not None:
        columns["person_id"] = from_numpy(np.asarray(as_array(person_id), np.int32))
    columns |= {side: from_numpy(box[:, place]) for place, side in enumerate(SIDES)}
    width = matrix.shape[1]
    offsets = from_numpy(np.arange(len(matrix) + 1, dtype=np.int32) * np.int32(width))
    columns["scores"] = pa.ListArray.from_arrays(offsets, from_numpy(matrix.ravel()))
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(dict(about or {}), sort_keys=True)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return write_atomic(path, buffer.getvalue())


def read_about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a prediction file says about its making; empty for files of other programs."""
    if Path(path).suffix != ".parquet":
        return {}
    try:
        about = json.loads((pq.read_schema(path).metadata or {}).get(METADATA, b"{}"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def read_parquet(path: str | os.PathLike[str], *, references: bool, action_ids: Sequence[int] | None = None) -> Rows:
    """Rows of a Parquet file: one row per person with a list of scores, or one row per box and action."""
    file = Path(path)
    try:
        table = pq.ParquetFile(file).read()  # read_table would import pandas
    except FileNotFoundError:
        raise fail(str(file), "there is no such file", "check the path", references=references) from None
    except (pa.ArrowException, OSError, ValueError) as error:
        problem = f"cannot be read as Parquet: {error}"
        raise fail(file.name, problem, "write it again; it may be cut off", references=references) from None
    return rows_from_table(table, file.name, references=references, action_ids=action_ids)


def rows_from_table(table: pa.Table, name: str, *, references: bool, action_ids: Sequence[int] | None = None) -> Rows:
    """Rows of an Arrow table, whose columns may hold no empty places."""
    for column in known_names(dict.fromkeys(table.column_names)):
        if table.num_rows and column in {"video_id", "frame", *SIDES, "action_id", "score"}:
            values = known_names(dict(zip(table.column_names, table.columns, strict=True)))[column]
            if values.null_count:
                row = values.is_null().to_pylist().index(True)
                raise fail(
                    name, f"row {row}: {column} is empty", "fill it in or leave the row out", references=references
                )
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return rows_from_columns(columns, name, references=references, action_ids=action_ids)
