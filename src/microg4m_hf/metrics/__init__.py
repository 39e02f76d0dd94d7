"""Numbers out of predictions and references."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .har.accumulator import HarAccumulator
    from .har.comparison import compare
    from .har.frame_map import frame_ap
    from .har.prediction_file import write_predictions
    from .har.scores import TieWarning, har_scores
    from .har.thresholds import TunedThresholds, tune_thresholds
    from .har.trainer import make_compute_metrics
    from .text.answers import vqa_scores
    from .text.bertscore import BertScorer
    from .text.captions import caption_scores
    from .text.intervals import compare_texts
    from .text.scores import text_scores
    from .text.sentence import SentenceEncoder

# Public name -> module that holds it; imported on first use, so that `import microg4m_hf` stays instant.
_HOME_OF = {
    "BertScorer": "text.bertscore",
    "HarAccumulator": "har.accumulator",
    "SentenceEncoder": "text.sentence",
    "TieWarning": "har.scores",
    "TunedThresholds": "har.thresholds",
    "caption_scores": "text.captions",
    "compare": "har.comparison",
    "compare_texts": "text.intervals",
    "frame_ap": "har.frame_map",
    "har_scores": "har.scores",
    "make_compute_metrics": "har.trainer",
    "text_scores": "text.scores",
    "tune_thresholds": "har.thresholds",
    "vqa_scores": "text.answers",
    "write_predictions": "har.prediction_file",
}

__all__ = [
    "BertScorer",
    "HarAccumulator",
    "SentenceEncoder",
    "TieWarning",
    "TunedThresholds",
    "caption_scores",
    "compare",
    "compare_texts",
    "frame_ap",
    "har_scores",
    "make_compute_metrics",
    "text_scores",
    "tune_thresholds",
    "vqa_scores",
    "write_predictions",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
