"""The benchmark: published results, reports, the explorer, the gap between Earth and space."""

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from . import explorer as explorer
    from .explorer import explore as explore
    from .published import (
        PublishedRow as PublishedRow,
        PublishedTable as PublishedTable,
        published_tables as published_tables,
    )
    from .report import make_report as make_report

__getattr__, __dir__, __all__ = attach(__name__)
