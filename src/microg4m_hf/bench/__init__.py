"""The benchmark: published results, reports, the explorer, the gap between Earth and space."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .explorer import explore
    from .published import PublishedRow, PublishedTable, published_tables
    from .report import make_report

# Public name -> module that holds it; imported on first use, so that `import microg4m_hf` stays instant.
_HOME_OF = {
    "PublishedRow": "published",
    "PublishedTable": "published",
    "explore": "explorer",
    "make_report": "report",
    "published_tables": "published",
}

__all__ = ["PublishedRow", "PublishedTable", "explore", "make_report", "published_tables"]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
