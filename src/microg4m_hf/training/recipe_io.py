"""Recipes in and out: YAML read strictly, values set from the command line, two recipes compared."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..storage import write_atomic
from .recipe import CHOICES, PRACTICAL, Recipe


def load_recipe(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe; ``overrides`` are ``section.key=value`` words that win over the file.

    Unknown keys, wrong types and values outside their choices are refused with the place and the nearest right word.
    Words that change the mathematics make the recipe one's own: its variant is no longer ``paper`` or ``corrected``.
    """
    import yaml

    file = Path(path)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {file}; recipes/ holds one for each row of the benchmark") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file} is no readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{file} holds {type(values).__name__}, a recipe is a mapping with name, model and data")
    written = recipe_from(copy.deepcopy(values), str(file))
    for word in overrides:
        _override(values, word)
    recipe = recipe_from(values, str(file))
    changed = {line.partition(":")[0] for line in differences(written.to_dict(), recipe.to_dict())}
    free = PRACTICAL | ({"data.scheme"} if written.variant == "corrected" else set())
    if changed - free and recipe.variant == written.variant:
        recipe = dataclasses.replace(recipe, variant="own")
    return recipe


def recipe_from(values: dict[str, Any], where: str = "recipe") -> Recipe:
    """Check plain values against the dataclasses.

    >>> recipe_from({"name": "mine", "variant": "own", "model": {"name": "x3d_s"},
    ...              "data": {"num_frames": 13, "stride": 6}}).data.crop
    224
    """
    recipe = _build(Recipe, values, "", where)
    if len(recipe.schedule.steps) != len(recipe.schedule.factors) or recipe.schedule.steps[:1] != (0,):
        raise RecipeError(f"{where}: schedule.steps must begin with 0 and be as long as schedule.factors")
    if list(recipe.schedule.steps) != sorted(set(recipe.schedule.steps)):
        raise RecipeError(f"{where}: schedule.steps must rise, given {list(recipe.schedule.steps)}")
    for key in ("data.num_frames", "data.stride", "data.eval_short_side", "loop.batch", "schedule.epochs"):
        if _get(recipe, key) < 1:
            raise RecipeError(f"{where}: {key} must be at least 1, given {_get(recipe, key)}")
    low, high = recipe.data.short_side
    if low > high or (recipe.data.crop or 1) < 1:
        raise RecipeError(f"{where}: data.short_side is [least, most] and data.crop at least 1 or null")
    if recipe.data.crop is None and low != high:
        raise RecipeError(f"{where}: without data.crop all frames need one size: give data.short_side twice the same")
    return recipe


def save_recipe(recipe: Recipe, path: str | os.PathLike[str]) -> Path:
    """Write the fully resolved recipe as YAML."""
    import yaml

    return write_atomic(path, yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True))


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Every value that two recipes disagree on.

    >>> differences({"optim": {"lr": 0.1}}, {"optim": {"lr": 0.2}})
    ['optim.lr: 0.1 -> 0.2']
    """
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before!r} -> {after!r}")
    return found


def _override(values: dict[str, Any], word: str) -> None:
    import yaml

    key, equals, text = word.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise RecipeError(f"{word!r} sets nothing; write section.key=value, for example optim.lr=0.05")
    place = values
    for part in parts[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise RecipeError(f"{word!r}: {part} is a value, not a section")
    try:
        value = yaml.safe_load(text)
        if isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
            value = _number(value)
    except yaml.YAMLError:
        raise RecipeError(f"{word!r}: {text!r} is no YAML value") from None
    place[parts[-1]] = value


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _build(kind: type, values: Any, prefix: str, where: str) -> Any:
    if not isinstance(values, dict):
        raise RecipeError(f"{where}: {prefix.rstrip('.') or 'the recipe'} must be a mapping, given {values!r}")
    hints = typing.get_type_hints(kind)
    arguments = {}
    for key, value in values.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, 1)
            advice = f"; did you mean {prefix}{near[0]}?" if near else f"; there are {', '.join(hints)}"
            raise RecipeError(f"{where}: unknown key {prefix}{key}{advice}")
        arguments[key] = _convert(hints[key], value, f"{prefix}{key}", where)
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING and f.name not in arguments
    ]
    if missing:
        raise RecipeError(f"{where}: {', '.join(prefix + name for name in missing)} is missing")
    return kind(**arguments)


def _convert(hint: Any, value: Any, key: str, where: str) -> Any:
    """``value`` as the annotated type; YAML gives lists for tuples and ints for floats."""
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, f"{key}.", where)
    if value is False and "no" in CHOICES.get(key, ()):
        value = "no"  # which YAML 1.1 reads as false
    if key in CHOICES and value is not None and value not in CHOICES[key]:
        raise RecipeError(f"{where}: {key} is {value!r}, it can be {', '.join(map(repr, CHOICES[key]))}")
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        if value is None:
            return None
        return _convert(next(arg for arg in args if arg is not type(None)), value, key, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        if Ellipsis in args or len(value) == len(args):
            kinds = [args[0]] * len(value) if Ellipsis in args else list(args)
            return tuple(_convert(one, item, key, where) for one, item in zip(kinds, value, strict=True))
    elif origin is dict and isinstance(value, dict):
        return dict(value)
    elif hint is float and isinstance(value, str):
        number = _number(value)  # `1e-7` without a dot is text to YAML 1.1
        if isinstance(number, float):
            return number
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif isinstance(hint, type) and type(value) is hint:
        return value
    name = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise RecipeError(f"{where}: {key} must be {name}, given {value!r}")


def _get(recipe: Recipe, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(recipe, section), name)


# The recipe of an adapter for a vision-language model.

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
