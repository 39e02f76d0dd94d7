"""A web page to browse clips with their boxes, references and the predictions of runs."""

from typing import TYPE_CHECKING

from ...lazy import attach

if TYPE_CHECKING:
    from .app import build as build
    from .catalogue import Catalogue as Catalogue, read_catalogue as read_catalogue
    from .filters import Filter as Filter, select as select
    from .predictions import Run as Run, read_runs as read_runs
    from .serve import explore as explore, launch as launch
    from .space import export_space as export_space, run_space as run_space

__getattr__, __dir__, __all__ = attach(__name__)
