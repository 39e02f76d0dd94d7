"""The networks of the benchmark as transformers models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .build import config_of, create, wrap
    from .config import MicroG4MHarConfig
    from .modeling import MicroG4MHarForVideoClassification, MicroG4MHarModel
    from .names import CORRECTED, PUBLISHED, VARIANTS, for_training
    from .processing import MicroG4MHarProcessor
    from .pyslowfast import export_pyslowfast, load_pyslowfast, save_pyslowfast
# Public name -> module that holds it; imported on first use: torch and transformers take seconds.
_HOME_OF = {
    "CORRECTED": "names",
    "MicroG4MHarConfig": "config",
    "MicroG4MHarForVideoClassification": "modeling",
    "MicroG4MHarModel": "modeling",
    "MicroG4MHarProcessor": "processing",
    "PUBLISHED": "names",
    "VARIANTS": "names",
    "config_of": "build",
    "create": "build",
    "export_pyslowfast": "pyslowfast",
    "for_training": "names",
    "load_pyslowfast": "pyslowfast",
    "save_pyslowfast": "pyslowfast",
    "wrap": "build",
}

__all__ = [
    "CORRECTED",
    "PUBLISHED",
    "VARIANTS",
    "MicroG4MHarConfig",
    "MicroG4MHarForVideoClassification",
    "MicroG4MHarModel",
    "MicroG4MHarProcessor",
    "config_of",
    "create",
    "export_pyslowfast",
    "for_training",
    "load_pyslowfast",
    "save_pyslowfast",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
