"""The recipes that come with the package: find one by its name, and list them."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import NamedTuple

from ...errors import RecipeError

FOLDER = Path(__file__).parent


class BuiltinRecipe(NamedTuple):
    """A line of ``microg4m train list``."""

    name: str
    model: str
    variant: str  # paper, corrected or own; adapter for the recipes of `microg4m train vlm`
    purpose: str


def recipe_file(given: str | os.PathLike[str]) -> Path:
    """Return the file of a recipe.

    A word such as ``demo``, without folder and suffix, is the name of a built-in recipe, whatever the current folder
    contains. Everything else is a path.

    Args:
        given: A name of ``microg4m train list``, or the path of a YAML file.

    Raises:
        RecipeError: If there is no such recipe.

    Example:
        >>> recipe_file("demo").name
        'demo.yaml'
        >>> recipe_file("demos")
        Traceback (most recent call last):
        microg4m_hf.errors.RecipeError: there is no recipe 'demos'; did you mean demo? All names: microg4m train list
    """
    path = Path(given)
    is_name = isinstance(given, str) and not path.suffix and path.name == given
    if is_name and (FOLDER / f"{given}.yaml").is_file():
        return FOLDER / f"{given}.yaml"
    if path.is_file():
        return path
    if path.is_dir():
        raise RecipeError(f"{path} is a folder; give the YAML file of a recipe, or a name of microg4m train list")
    if not is_name and (FOLDER / f"{path.stem}.yaml").is_file():
        raise RecipeError(f"there is no file {path}; the built-in recipe goes by its name alone: {path.stem}")
    near = difflib.get_close_matches(path.stem, recipe_names(), 3)
    advice = f"; did you mean {', '.join(near)}?" if near else "."
    raise RecipeError(f"there is no recipe {str(given)!r}{advice} All names: microg4m train list")


def recipe_names() -> list[str]:
    """Return the names of the built-in recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def list_recipes() -> list[BuiltinRecipe]:
    """Return name, model, variant and purpose of every built-in recipe, as ``microg4m train list`` prints them.

    Example:
        >>> [recipe.model for recipe in list_recipes() if recipe.name == "demo"]
        ['tiny_slow']
    """
    import yaml

    found = []
    for name in recipe_names():
        text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        values = yaml.safe_load(text)
        model, purpose = values["model"], text.splitlines()[0].lstrip("# ").rstrip(".:")
        if isinstance(model, str):
            found.append(BuiltinRecipe(name, model, "adapter", purpose))
        else:
            found.append(BuiltinRecipe(name, model["name"], values["variant"], purpose))
    return found
