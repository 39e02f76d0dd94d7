"""Recipes and Accelerate loops: where data, metrics and models meet.

``run_training(recipe, run)`` does everything. Its pieces serve other loops as well:

- data set: ``split_items`` gives the key frames of a split, ``KeyFrameWindows`` decodes them
- transforms: ``training_geometry`` and ``move_boxes`` as numbers in the worker, ``render_batch`` on the device
- sampler: ``RunBatches``, whole runs that can begin at any step
- collators: ``collate`` for ragged people, ``PaddedCollator`` with ``PaddedModel`` for ``transformers.Trainer``
- scores: ``predict_logits`` and ``score_logits``; ``microg4m_hf.metrics.HarAccumulator`` batch by batch
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .build import build_model as build_model
    from .build import split_items as split_items
    from .dataset import KeyFrame as KeyFrame
    from .dataset import KeyFrameWindows as KeyFrameWindows
    from .dataset import collate as collate
    from .har import run_training as run_training
    from .hf_trainer import PaddedCollator as PaddedCollator
    from .hf_trainer import PaddedModel as PaddedModel
    from .optim import learning_rate as learning_rate
    from .optim import parameter_groups as parameter_groups
    from .predict import predict_logits as predict_logits
    from .predict import score_logits as score_logits
    from .predict_run import predict_har as predict_har
    from .predict_run import recipe_of as recipe_of
    from .push import push_run as push_run
    from .recipe import Data as Data
    from .recipe import Recipe as Recipe
    from .recipe_io import load_recipe as load_recipe
    from .sampler import RunBatches as RunBatches
    from .transforms import Geometry as Geometry
    from .transforms import move_boxes as move_boxes
    from .transforms import render_batch as render_batch
    from .transforms import training_geometry as training_geometry

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "build": ["build_model", "split_items"],
        "dataset": ["KeyFrame", "KeyFrameWindows", "collate"],
        "har": ["run_training"],
        "hf_trainer": ["PaddedCollator", "PaddedModel"],
        "optim": ["learning_rate", "parameter_groups"],
        "predict": ["predict_logits", "score_logits"],
        "predict_run": ["predict_har", "recipe_of"],
        "push": ["push_run"],
        "recipe": ["Data", "Recipe"],
        "recipe_io": ["load_recipe"],
        "sampler": ["RunBatches"],
        "transforms": ["Geometry", "move_boxes", "render_batch", "training_geometry"],
    },
)
