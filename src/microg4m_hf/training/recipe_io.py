"""Read recipes from YAML, apply ``section.key=value`` overrides, check every value, and compare two recipes."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import RecipeError, shorten
from ..settings import choices_of
from ..storage import write_atomic
from ..visible import visible
from .recipe import PRACTICAL, RENAMED, Recipe, VlmRecipe
from .recipes import recipe_file


def load_recipe(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Recipe:
    """Read the recipe of an action model.

    Overrides that change what is learned set the variant to ``own``: the result is no longer a published setting.

    Args:
        path: A name of ``microg4m train list``, or the path of a YAML file.
        overrides: ``section.key=value`` words that take precedence over the file.

    Returns:
        The recipe.

    Raises:
        RecipeError: If there is no such recipe, a key is unknown, or a value has the wrong type or is not one of its
            choices.

    Example:
        >>> load_recipe("i3d_nln_8x8_r50", ["optim.lr=0.05"]).variant
        'own'
    """
    values = _read_yaml(path)
    if isinstance(values.get("model"), str):
        raise RecipeError(f"{path} is the recipe of an adapter: microg4m train vlm --config {path}")
    return override_recipe(recipe_from(values, str(path)), overrides, str(path))


def override_recipe(recipe: Recipe, overrides: Iterable[str], where: str = "recipe") -> Recipe:
    """Set values of a recipe, and its variant to ``own`` if one of them changes what is learned or predicted.

    Args:
        recipe: The recipe.
        overrides: ``section.key=value`` words.
        where: How error messages name the recipe.

    Raises:
        RecipeError: As :func:`load_recipe`.
    """
    changed_recipe = recipe_from(override_values(recipe.to_dict(), overrides), where)
    changed = {line.partition(":")[0] for line in differences(recipe.to_dict(), changed_recipe.to_dict())}
    free = PRACTICAL | ({"data.scheme"} if recipe.variant == "corrected" else set())
    if changed - free and changed_recipe.variant == recipe.variant:
        changed_recipe = dataclasses.replace(changed_recipe, variant="own")
    return changed_recipe


def load_vlm_recipe(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> VlmRecipe:
    """Read the recipe of an adapter.

    Args:
        path: A name of ``microg4m train list``, or the path of a YAML file.
        overrides: ``key=value`` words that take precedence over the file; the keys have no sections.

    Returns:
        The recipe.

    Raises:
        RecipeError: As for :func:`load_recipe`.
    """
    values = _read_yaml(path)
    if isinstance(values.get("model"), dict):
        raise RecipeError(f"{path} is the recipe of an action model: microg4m train har --config {path}")
    recipe: VlmRecipe = build_settings(VlmRecipe, override_values(values, overrides), "", str(path))
    _check_name(recipe.name, str(path))
    return recipe


def recipe_from(values: dict[str, Any], where: str = "recipe") -> Recipe:
    """Build a recipe from plain values and check them.

    Args:
        values: Nested dicts, as YAML gives them.
        where: How error messages name the source of the values.

    Raises:
        RecipeError: As :func:`load_recipe`.

    Example:
        >>> recipe_from({"name": "mine", "variant": "own", "model": {"name": "x3d_s"},
        ...              "data": {"num_frames": 13, "stride": 6}}).data.crop
        224
    """
    recipe: Recipe = build_settings(Recipe, with_current_keys(values), "", where)
    _check_name(recipe.name, where)
    return recipe


def _check_name(name: str, where: str) -> None:
    """A run folder gets the name, so it must be one part of a path."""
    if name in ("", ".", "..") or len(name) > 100 or set("/\\:\n\t") & set(name) or visible(name) != name:
        raise RecipeError(
            f"{where}: name is {shorten(name)}, but a run folder gets this name; use letters, numbers, - and _"
        )


def save_recipe(recipe: Recipe | VlmRecipe, path: str | os.PathLike[str]) -> Path:
    """Write a recipe with all its values as YAML."""
    import yaml

    return write_atomic(path, yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted keys.

    >>> flatten({"optim": {"lr": 0.1}, "note": ""})
    {'optim.lr': 0.1, 'note': ''}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """List every value in which two recipes differ.

    >>> differences({"optim": {"lr": 0.1}}, {"optim": {"lr": 0.2}})
    ['optim.lr: 0.1 -> 0.2']
    """
    before, after = flatten(old), flatten(new)
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return [f"{key}: {before.get(key)!r} -> {after.get(key)!r}" for key in changed]


def with_current_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a recipe with the keys of earlier versions renamed.

    >>> with_current_keys({"optim": {"undecayed": "none"}})
    {'optim': {'no_decay': 'none'}}
    """
    values = copy.deepcopy(values)
    for old, new in RENAMED.items():
        (section, old_key), new_key = old.split("."), new.split(".")[1]
        options = values.get(section)
        if isinstance(options, dict) and old_key in options:
            if new_key in options:
                raise RecipeError(f"{old} is the old name of {new}, and the recipe gives both; keep {new}")
            options[new_key] = options.pop(old_key)
    return values


def with_defaults(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """Return the values of a recipe of this kind with the defaults of keys that it does not have, as when it is read.

    >>> with_defaults({"data": {"num_frames": 8}}, Recipe)["data"]["flip"]
    0.5
    """
    hints, filled = typing.get_type_hints(kind), dict(values)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            section = values.get(field.name, {})
            if isinstance(section, dict):
                filled[field.name] = with_defaults(section, typing.cast(type, hints[field.name]))
        elif field.default is not dataclasses.MISSING:
            filled.setdefault(field.name, list(field.default) if isinstance(field.default, tuple) else field.default)
    return filled


def _read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    from ..safe_yaml import read_yaml

    values = read_yaml(recipe_file(path))
    if not isinstance(values, dict):
        raise RecipeError(f"{path} contains a {type(values).__name__}; a recipe is a mapping that starts with a name")
    return with_current_keys(values)


def override_values(values: dict[str, Any], words: Iterable[str]) -> dict[str, Any]:
    """Return the values with the ``key=value`` words set."""
    from ..safe_yaml import parse_yaml

    values = copy.deepcopy(values)
    for word in words:
        key, equals, text = word.partition("=")
        *sections, name = RENAMED.get(key, key).split(".")
        if not equals or not all((*sections, name)):
            raise RecipeError(f"{word!r} sets no value; write section.key=value, for example optim.lr=0.05")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise RecipeError(f"{word!r}: {section} is a value, not a section; leave out what follows it")
        try:
            value = parse_yaml(text)
        except RecipeError:
            raise RecipeError(f"{word[:200]!r}: {text[:200]!r} is not a YAML value; quote it") from None
        target[name] = _number(value) if isinstance(value, str) else value
    return values


def _number(text: str) -> float | str:
    """Convert what YAML 1.1 reads as text although it is a number, such as ``1e-4``."""
    try:
        return float(text)
    except ValueError:
        return text


def build_settings(kind: type, values: Any, prefix: str, where: str) -> Any:
    """Build a dataclass from a mapping, and the dataclasses in its fields."""
    if not isinstance(values, dict):
        raise RecipeError(
            f"{where}: {prefix.rstrip('.') or 'the recipe'} is {values!r}; give a mapping of keys to values"
        )
    hints, choices = typing.get_type_hints(kind), choices_of(kind)
    hints = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    arguments = {}
    for key, value in values.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, 1)
            advice = f"; did you mean {prefix}{near[0]}?" if near else f"; the keys are {', '.join(hints)}"
            raise RecipeError(f"{where}: unknown key {prefix}{key}{advice}")
        arguments[key] = _convert(hints[key], value, f"{prefix}{key}", where, choices.get(key, ()))
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING and f.name not in arguments
    ]
    if missing:
        raise RecipeError(
            f"{where}: {', '.join(prefix + name for name in missing)} is missing; write it into the recipe"
        )
    try:
        return kind(**arguments)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None


def _convert(hint: Any, value: Any, key: str, where: str, choices: tuple[Any, ...] = ()) -> Any:
    """Convert a value to the annotated type: YAML has lists for tuples and ints for floats."""
    if dataclasses.is_dataclass(hint):
        return build_settings(typing.cast(type, hint), value, f"{key}.", where)
    if value is False and "no" in choices:
        value = "no"  # YAML 1.1 reads an unquoted no as false
    elif value is True and "yes" in choices:
        value = "yes"
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
        number = _number(value)
        if isinstance(number, float):
            return number
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif isinstance(hint, type) and type(value) is hint:
        return value
    name = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise RecipeError(f"{where}: {key} must be {name}, given {value!r}")
