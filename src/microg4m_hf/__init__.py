"""MicroG-4M for the Hugging Face ecosystem: data set, metrics, models, training, inference, reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import auto_register as _auto_register
from ._version import __version__
from .errors import MicroG4MError

if TYPE_CHECKING:
    from .data import load_dataset

__all__ = ["MicroG4MError", "__version__", "load_dataset"]


def __getattr__(name: str) -> Any:
    if name == "load_dataset":
        from .data import load_dataset

        return load_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# From here on, datasets.load_dataset("microg4m", ...) works, and transformers' AutoModelForVideoClassification,
# AutoProcessor and pipeline("microg4m-har") know our models, whichever package is imported first.
_auto_register.install()
