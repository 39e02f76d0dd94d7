"""Fine-tuning: ``run_training(recipe, run)`` for an action model, ``run_vlm_training(recipe, run)`` for an adapter.

The pieces of action training, from ``split_items`` to ``score_logits``, work in other loops as well: see
``docs/fine_tuning.md`` and ``examples/har_with_trainer.py``.
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
    from .recipe import VlmRecipe as VlmRecipe
    from .recipe_io import load_recipe as load_recipe
    from .recipe_io import load_vlm_recipe as load_vlm_recipe
    from .run_folder import RunFolder as RunFolder
    from .sampler import RunBatches as RunBatches
    from .transforms import Geometry as Geometry
    from .transforms import move_boxes as move_boxes
    from .transforms import render_batch as render_batch
    from .transforms import training_geometry as training_geometry
    from .vlm import run_vlm_training as run_vlm_training

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
        "recipe": ["Data", "Recipe", "VlmRecipe"],
        "recipe_io": ["load_recipe", "load_vlm_recipe"],
        "run_folder": ["RunFolder"],
        "sampler": ["RunBatches"],
        "transforms": ["Geometry", "move_boxes", "render_batch", "training_geometry"],
        "vlm": ["run_vlm_training"],
    },
)
