"""Recipes and Accelerate loops: where data, metrics and models meet.

``run_training(recipe, run)`` does everything. Its pieces serve other loops as well:

- data set: ``split_items`` gives the key frames of a split, ``KeyFrameWindows`` decodes them
- transforms: ``training_geometry`` and ``move_boxes`` as numbers in the worker, ``render_batch`` on the device
- sampler: ``RunBatches``, whole runs that can begin at any step
- collators: ``collate`` for ragged people, ``PaddedCollator`` with ``PaddedModel`` for ``transformers.Trainer``
- scores: ``predict_logits`` and ``score_logits``; ``microg4m_hf.metrics.HarAccumulator`` batch by batch
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .geometry import Geometry, move_boxes, training_geometry
    from .har import run_training
    from .key_frames import KeyFrame
    from .objects import build_model, split_items
    from .optim import parameter_groups
    from .order import RunBatches
    from .padded import PaddedCollator, PaddedModel
    from .pixels import render_batch
    from .predict import predict_logits
    from .predict_run import predict_har, recipe_of
    from .push import push_run
    from .recipe import Data, Recipe
    from .recipe_io import load_recipe
    from .schedule import learning_rate
    from .score import score_logits
    from .windows import KeyFrameWindows, collate

# Public name -> module that holds it; imported on first use: torch takes seconds.
_HOME_OF = {
    "Data": "recipe",
    "Geometry": "geometry",
    "KeyFrame": "key_frames",
    "KeyFrameWindows": "windows",
    "PaddedCollator": "padded",
    "PaddedModel": "padded",
    "Recipe": "recipe",
    "RunBatches": "order",
    "build_model": "objects",
    "collate": "windows",
    "learning_rate": "schedule",
    "load_recipe": "recipe_io",
    "move_boxes": "geometry",
    "parameter_groups": "optim",
    "predict_logits": "predict",
    "predict_har": "predict_run",
    "push_run": "push",
    "recipe_of": "predict_run",
    "render_batch": "pixels",
    "run_training": "har",
    "score_logits": "score",
    "split_items": "objects",
    "training_geometry": "geometry",
}

__all__ = [
    "Data",
    "Geometry",
    "KeyFrame",
    "KeyFrameWindows",
    "PaddedCollator",
    "PaddedModel",
    "Recipe",
    "RunBatches",
    "build_model",
    "collate",
    "learning_rate",
    "load_recipe",
    "move_boxes",
    "parameter_groups",
    "predict_har",
    "predict_logits",
    "push_run",
    "recipe_of",
    "render_batch",
    "run_training",
    "score_logits",
    "split_items",
    "training_geometry",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
