"""How a score was made, as a short signature and as a dictionary, so that two numbers can be told apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._version import __version__


@dataclass(frozen=True)
class Signature:
    """Everything that must be equal before two scores may be compared.

    ``settings`` holds what only some metrics have (threshold, IoU, n-gram order, …); ``None`` values are left out.

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
    used: int = 0  # items that were scored
    missing: int = 0  # references without a prediction
    seed: int | None = None  # of the bootstrap, when one was run
    settings: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain JSON values, in the order of the line."""
        named = {
            "metric": self.metric,
            "protocol": self.protocol,
            "tokenizer": self.tokenizer,
            "model": self.model,
            "revision": self.revision,
            **self.settings,
            "used": self.used,
            "missing": self.missing,
            "seed": self.seed,
            "version": self.version,
        }
        return {key: value for key, value in named.items() if value is not None}

    def __str__(self) -> str:
        values = self.as_dict()
        parts = [str(values.pop("metric"))]
        parts += [f"{key}:{_short(value)}" for key, value in values.items()]
        return "|".join(parts)


def _short(value: object) -> str:
    if isinstance(value, float):
        text = f"{value:g}"
    elif isinstance(value, (list, tuple)):
        text = ",".join(_short(item) for item in value)
    else:
        text = str(value)
    return text.replace("|", "/").replace(" ", "-")
