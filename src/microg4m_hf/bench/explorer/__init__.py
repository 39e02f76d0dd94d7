"""A web page to browse clips with their boxes, references and the predictions of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import attach

if TYPE_CHECKING:
    from .app import build as build
    from .catalogue import Catalogue as Catalogue
    from .catalogue import read_catalogue as read_catalogue
    from .filters import Filter as Filter
    from .filters import select as select
    from .predictions import Run as Run
    from .predictions import read_runs as read_runs
    from .serve import explore as explore
    from .serve import launch as launch
    from .space import export_space as export_space
    from .space import run_space as run_space

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "app": ["build"],
        "catalogue": ["Catalogue", "read_catalogue"],
        "filters": ["Filter", "select"],
        "predictions": ["Run", "read_runs"],
        "serve": ["explore", "launch"],
        "space": ["export_space", "run_space"],
    },
)
