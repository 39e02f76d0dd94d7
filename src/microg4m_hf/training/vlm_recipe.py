"""The recipe of an adapter for a vision-language model."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from .recipe_io import _build, _override

# What may change between two starts of a run.
FREE = {"max_steps", "checkpoint_every", "data_dir", "note"}


@dataclass(frozen=True)
class VlmRecipe:
    """Everything that decides what an adapter becomes."""

    name: str
    model: str  # a Hub id or a folder
    revision: str | None = None
    tasks: tuple[str, ...] = ("caption", "vqa")
    prompts: str = "default"
    frames: int = 8
    source: str | None = None  # "sample", or a Hub data set
    data_dir: str | None = None
    scheme: str = "source_disjoint"  # clips of one film overlap: with "official" the test films are in training
    split: str = "train"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"
    lr: float = 1e-4
    weight_decay: float = 0.0
    warmup_steps: int = 20
    clip_grad: float = 1.0
    batch: int = 16  # rows a step, over all processes
    epochs: int = 1
    max_steps: int | None = None
    seed: int = 0
    dtype: str = "bfloat16"
    gradient_checkpointing: bool = False
    checkpoint_every: int = 100  # steps
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"tasks": list(self.tasks)}


def load_vlm_recipe(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> VlmRecipe:
    """Read a recipe; ``key=value`` words win over the file. Unknown keys and wrong types are refused."""
    import yaml

    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {path}; recipes/qwen2_5_vl_lora.yaml is one to begin with") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is no readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} holds {type(values).__name__}, a recipe is a mapping with name and model")
    for word in overrides:
        _override(values, word)
    recipe: VlmRecipe = _build(VlmRecipe, values, "", str(path))
    if not recipe.tasks or set(recipe.tasks) - {"caption", "vqa"}:
        raise RecipeError(f"{path}: tasks can hold caption and vqa, given {list(recipe.tasks)}")
    for key in ("frames", "rank", "batch", "epochs", "checkpoint_every"):
        if getattr(recipe, key) < 1:
            raise RecipeError(f"{path}: {key} must be at least 1, given {getattr(recipe, key)}")
    return recipe
