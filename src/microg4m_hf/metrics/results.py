"""Results as JSON that any reader accepts: nan becomes null, numpy becomes plain numbers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..storage import write_atomic


def json_ready(value: Any) -> Any:
    """The same value in plain JSON types.

    >>> json_ready({12: np.float64("nan"), "n": np.int64(3), "range": (0.1, 0.2)})
    {'12': None, 'n': 3, 'range': [0.1, 0.2]}
    """
    if isinstance(value, Mapping):
        return {str(key): json_ready(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return json_ready(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_ready(entry) for entry in value]
    if isinstance(value, np.generic):
        return json_ready(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_result(path: str | os.PathLike[str], result: Mapping[str, Any]) -> Path:
    """Write a result of ``har_scores``, ``text_scores`` or ``compare`` as a JSON file, whole or not at all.

    >>> import tempfile
    >>> json.loads(write_result(tempfile.mkdtemp() + "/scores.json", {"scores": {"map": 0.5}}).read_text())
    {'scores': {'map': 0.5}}
    """
    return write_atomic(path, json.dumps(json_ready(result), indent=2, ensure_ascii=False) + "\n")
