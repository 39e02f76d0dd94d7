"""MicroG-4M for the Hugging Face ecosystem: dataset, metrics, models, inference, training and reports."""

from typing import TYPE_CHECKING

from . import auto_register as _auto_register, lazy as _lazy
from ._version import __version__ as __version__
from .errors import MicroG4MError as MicroG4MError

if TYPE_CHECKING:
    from . import (
        bench as bench,
        data as data,
        inference as inference,
        metrics as metrics,
        models as models,
        taxonomy as taxonomy,
        training as training,
    )
    from .data import load_dataset as load_dataset

__getattr__, __dir__, __all__ = _lazy.attach(__name__)

_lazy.install_moved_modules()
# Makes datasets.load_dataset("microg4m", ...), AutoModelForVideoClassification, AutoProcessor and
# pipeline("microg4m-har") work, whichever package is imported first.
_auto_register.install()
