"""Numbers out of predictions and references."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .accumulator import HarAccumulator
    from .compare import compare
    from .frame_ap import frame_ap
    from .har_scores import har_scores
    from .text_scores import text_scores
    from .thresholds import tune_thresholds
    from .trainer import make_compute_metrics

# Public name -> module that holds it; imported on first use, so that `import microg4m_hf` stays instant.
_HOME_OF = {
    "HarAccumulator": "accumulator",
    "compare": "compare",
    "frame_ap": "frame_ap",
    "har_scores": "har_scores",
    "make_compute_metrics": "trainer",
    "text_scores": "text_scores",
    "tune_thresholds": "thresholds",
}

__all__ = [
    "HarAccumulator",
    "compare",
    "frame_ap",
    "har_scores",
    "make_compute_metrics",
    "text_scores",
    "tune_thresholds",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        module = importlib.import_module(f"{__name__}.{_HOME_OF[name]}")
        value = getattr(module, name)
        globals()[name] = value  # the module of the same name must not hide the function
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
