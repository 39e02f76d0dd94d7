"""Predict with trained models: captions, answers, and the pipeline for human action recognition."""

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .api.client import Endpoint as Endpoint
    from .har_pipeline import HarPipeline as HarPipeline
    from .isolated.runner import IsolatedEnvironment as IsolatedEnvironment
    from .items import PROMPTS as PROMPTS, TextSettings as TextSettings
    from .text_prediction import predict_texts as predict_texts, resolve_settings as resolve_settings
    from .video_processor import MicroG4MHarVideoProcessor as MicroG4MHarVideoProcessor
    from .vlm.loading import Placement as Placement

__getattr__, __dir__, __all__ = attach(__name__)
