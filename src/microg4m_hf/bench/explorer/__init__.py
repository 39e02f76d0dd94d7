"""A web page to browse clips with boxes and tracks, references, and what runs say of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import build
    from .catalogue import Catalogue, read_catalogue
    from .filters import Filter, select
    from .runs import Run, read_runs
    from .serve import explore, launch
    from .space import export_space, run_space

_HOME_OF = {
    "Catalogue": "catalogue",
    "Filter": "filters",
    "Run": "runs",
    "build": "app",
    "explore": "serve",
    "export_space": "space",
    "launch": "serve",
    "read_catalogue": "catalogue",
    "read_runs": "runs",
    "run_space": "space",
    "select": "filters",
}

__all__ = [
    "Catalogue",
    "Filter",
    "Run",
    "build",
    "explore",
    "export_space",
    "launch",
    "read_catalogue",
    "read_runs",
    "run_space",
    "select",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
