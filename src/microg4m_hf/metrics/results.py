"""What every result carries: the signature of how it was made, and a form that can be written as JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..storage import write_atomic


@dataclass(frozen=True)
class Signature:
    """Everything that must be equal before two scores may be compared.

    ``str()`` gives one line without spaces, ``as_dict()`` the same as a dictionary (``recipe`` in results). ``None``
    values are left out.

    >>> signature = Signature("har", "paper", used=1137, missing=0, settings={"iou": 0.5})
    >>> str(signature).startswith("har|protocol:paper|iou:0.5|used:1137|missing:0|version:")
    True
    >>> signature.as_dict()["iou"]
    0.5
    """

    metric: str
    protocol: str
    tokenizer: str | None = None
    model: str | None = None
    revision: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)  # of some metrics only: threshold, IoU, n-gram order, …
    used: int = 0  # items that were scored
    missing: int = 0  # references without a prediction
    references: str | None = None  # digest of what was scored against
    version: str = __version__

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, in the order of the line."""
        named: dict[str, Any] = {}
        for key, value in vars(self).items():
            named |= value if key == "settings" else {key: value}
        return {key: value for key, value in named.items() if value is not None}

    def __str__(self) -> str:
        values = self.as_dict()
        return "|".join([str(values.pop("metric")), *(f"{key}:{_shorten(value)}" for key, value in values.items())])


def _shorten(value: object) -> str:
    if isinstance(value, float):
        text = f"{value:g}"
    elif isinstance(value, (list, tuple)):
        text = ",".join(_shorten(item) for item in value)
    else:
        text = str(value)
    return text.replace("|", "/").replace(" ", "-")


def short_digest(text: str) -> str:
    """Return the first twelve hex digits of the SHA-256 of a text.

    >>> short_digest("a")
    'ca978112ca1b'
    """
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def json_ready(value: Any) -> Any:
    """Convert a value to plain JSON types: nan and infinity become null, numpy becomes plain numbers.

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
    """Write a result of ``har_scores``, ``text_scores`` or ``compare`` as JSON; a failed write leaves no half file.

    >>> import tempfile
    >>> json.loads(write_result(tempfile.mkdtemp() + "/scores.json", {"scores": {"map": 0.5}}).read_text())
    {'scores': {'map': 0.5}}
    """
    return write_atomic(path, json.dumps(json_ready(result), indent=2, ensure_ascii=False) + "\n")
