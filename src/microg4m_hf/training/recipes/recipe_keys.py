"""List the keys of a recipe with type, default, allowed values and meaning, for ``--help`` and the documentation."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...settings import rules_of
from .. import recipe as recipe_module
from ..recipe import PRACTICAL, RESUMABLE, Recipe, VlmRecipe

_KINDS = {"har": Recipe, "vlm": VlmRecipe}


class RecipeKey(NamedTuple):
    """One key of a recipe."""

    name: str
    type: str
    default: str
    """As YAML shows it; "required" for a key without a default."""
    allowed: str
    """The values that are allowed, empty where the type says it all."""
    meaning: str
    practical: bool
    """It does not change what is learned, so that a recipe keeps its variant."""
    resumable: bool
    """It may change when a run is resumed."""


def recipe_keys(kind: str) -> list[RecipeKey]:
    """Return the keys of a recipe in the order of the file.

    Args:
        kind: ``har`` for an action model, ``vlm`` for an adapter.

    Example:
        >>> key = next(key for key in recipe_keys("har") if key.name == "loop.batch")
        >>> key.type, key.default, key.allowed, key.meaning
        ('int', '64', 'at least 1', 'Key frames per step, over all processes.')
    """
    return list(_keys_of(_KINDS[kind], "", _meanings()))


def describe_keys(kind: str, width: int = 100) -> str:
    """Return the keys as text for the end of ``--help``."""
    keys = recipe_keys(kind)
    indent = " " * 4
    lines = ["recipe keys, to set as key=value (`microg4m train show NAME` prints the values of a recipe):"]
    for key in keys:
        values = "" if not key.allowed else f", {key.allowed}"
        lines.append(f"  {key.name} ({key.type}{values}; {_shown(key.default)})")
        lines += textwrap.wrap(key.meaning, width, initial_indent=indent, subsequent_indent=indent)
    return "\n".join(lines)


def _shown(default: str) -> str:
    return default if default == "required" else f"default {default}"


def _keys_of(kind: type, prefix: str, meanings: dict[tuple[str, str], str]) -> Iterator[RecipeKey]:
    hints, rules = typing.get_type_hints(kind), rules_of(kind)
    for field in dataclasses.fields(kind):
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _keys_of(hints[field.name], f"{name}.", meanings)
            continue
        allowed = rules.get(field.name, "")
        yield RecipeKey(
            name=name,
            type=str(field.type).replace("None", "null"),
            default=_default(field),
            allowed=allowed,
            meaning=meanings.get((kind.__name__, field.name), ""),
            practical=name in PRACTICAL,
            resumable=name in RESUMABLE,
        )


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return str(field.default_factory())
    if field.default is dataclasses.MISSING:
        return "required"
    value = field.default
    if isinstance(value, tuple):
        return str(list(value))
    return (
        {None: "null", True: "true", False: "false", "": '""'}.get(value, str(value)) if _is_word(value) else str(value)
    )


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, (bool, str))


def _meanings() -> dict[tuple[str, str], str]:
    """Read the strings below the fields, which Python does not keep."""
    tree = ast.parse(Path(inspect.getfile(recipe_module)).read_text(encoding="utf-8"))
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for field, below in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                    found[node.name, ast.unparse(field.target)] = inspect.cleandoc(
                        ast.literal_eval(below.value)
                    ).strip()
    return found
