"""Fine-tuning: ``run_training(recipe, run)`` for an action model, ``run_vlm_training(recipe, run)`` for an adapter.

The pieces of action training, from ``split_items`` to ``score_logits``, work in other loops as well: see
``docs/fine_tuning.md`` and ``examples/har_with_trainer.py``.
"""

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .build import build_model as build_model, split_items as split_items
    from .har import run_training as run_training
    from .hf_trainer import PaddedCollator as PaddedCollator, PaddedModel as PaddedModel
    from .loading.batches import render_batch as render_batch
    from .loading.dataset import (
        KeyFrame as KeyFrame,
        KeyFrameWindows as KeyFrameWindows,
        RunBatches as RunBatches,
        collate as collate,
    )
    from .loading.transforms import (
        Geometry as Geometry,
        move_boxes as move_boxes,
        training_geometry as training_geometry,
    )
    from .optim import learning_rate as learning_rate, parameter_groups as parameter_groups
    from .predict import predict_logits as predict_logits, score_logits as score_logits
    from .predict_run import predict_har as predict_har, recipe_of as recipe_of
    from .push import push_run as push_run
    from .recipe import Data as Data, Recipe as Recipe, VlmRecipe as VlmRecipe
    from .recipe_io import load_recipe as load_recipe, load_vlm_recipe as load_vlm_recipe
    from .recipes import list_recipes as list_recipes
    from .run_folder import RunFolder as RunFolder
    from .vlm import run_vlm_training as run_vlm_training

__getattr__, __dir__, __all__ = attach(__name__)
