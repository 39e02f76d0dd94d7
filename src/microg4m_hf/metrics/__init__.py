"""Metrics: score predictions of actions and texts against references, with intervals and comparisons."""

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .har.accumulator import HarAccumulator as HarAccumulator
    from .har.files import write_predictions as write_predictions
    from .har.frame_ap import frame_ap as frame_ap
    from .har.scores import TieWarning as TieWarning, compare as compare, har_scores as har_scores
    from .har.thresholds import TunedThresholds as TunedThresholds, tune_thresholds as tune_thresholds
    from .har.trainer import make_compute_metrics as make_compute_metrics
    from .text.bertscore import BertScorer as BertScorer
    from .text.caption_vqa import caption_scores as caption_scores, vqa_scores as vqa_scores
    from .text.resampling import compare_texts as compare_texts
    from .text.scores import text_scores as text_scores
    from .text.sentence import SentenceEncoder as SentenceEncoder

__getattr__, __dir__, __all__ = attach(__name__)
