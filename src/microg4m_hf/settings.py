"""Settings dataclasses that check their own values: the range of a value stands beside its field.

A recipe, an option of the command line and a call in Python build the same dataclass, so all of them refuse a value
with the same words.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any, ClassVar

from .errors import MicroG4MError, RecipeError

_RULE = "rule"


@dataclasses.dataclass(frozen=True)
class _Rule:
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()
    optional: bool = False

    def accepts(self, value: float) -> bool:
        return not (
            (self.at_least is not None and value < self.at_least)
            or (self.above is not None and value <= self.above)
            or (self.at_most is not None and value > self.at_most)
            or (self.below is not None and value >= self.below)
        )

    def __str__(self) -> str:
        bounds = {"at least": self.at_least, "more than": self.above, "at most": self.at_most, "less than": self.below}
        return " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None)


def setting(default: Any, **rule: Any) -> Any:
    """Return the field of a :class:`Settings` dataclass with a rule for its value, or for every item of a tuple.

    Args:
        default: The default of the field. Where it is None, None is always accepted.
        rule: ``at_least``, ``above``, ``at_most`` and ``below`` for a number, or ``choices``; ``optional=True`` accepts
            None as well.

    Example:
        >>> @dataclasses.dataclass
        ... class Loop(Settings, prefix="loop."):
        ...     batch: int = setting(64, at_least=1)
        >>> Loop(batch=0)
        Traceback (most recent call last):
        microg4m_hf.errors.RecipeError: loop.batch must be at least 1, given 0
    """
    return dataclasses.field(default=default, metadata=limits(**rule))


def limits(**rule: Any) -> dict[str, Any]:
    """Return the metadata of a field with a rule, for one without a default."""
    return {_RULE: _Rule(**rule)}


class Settings:
    """Base of dataclasses of settings: every number must be finite and follow the rule of its field.

    A subclass says how messages name its fields: ``prefix="--"`` for options of the command line, ``prefix="loop."``
    for a section of a recipe.
    """

    _prefix: ClassVar[str] = ""
    _error: ClassVar[type[MicroG4MError]] = RecipeError

    def __init_subclass__(cls, *, prefix: str = "", error: type[MicroG4MError] = RecipeError) -> None:
        super().__init_subclass__()
        cls._prefix, cls._error = prefix, error

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            rule = field.metadata.get(_RULE, _Rule())
            for item in value if isinstance(value, (tuple, list)) else (value,):
                problem = _find_problem(item, rule, str(field.type))
                if problem and not (value is None and (rule.optional or field.default is None)):
                    shown = list(value) if isinstance(value, tuple) else value
                    raise self._error(f"{self._name(field.name)} {problem.format(repr(shown))}")

    @classmethod
    def _name(cls, field: str) -> str:
        return cls._prefix + (field.replace("_", "-") if cls._prefix == "--" else field)


def choices_of(kind: type) -> dict[str, tuple[Any, ...]]:
    """Return the choices of the fields of a dataclass that have some."""
    rules = {field.name: field.metadata.get(_RULE) for field in dataclasses.fields(kind)}
    return {name: rule.choices for name, rule in rules.items() if rule is not None and rule.choices}


def rules_of(kind: type) -> dict[str, str]:
    """Return the rules of the fields of a dataclass as text, such as ``at least 1`` or ``fp16, bf16``."""
    rules = {field.name: field.metadata.get(_RULE) for field in dataclasses.fields(kind)}
    return {name: ", ".join(map(str, rule.choices)) or str(rule) for name, rule in rules.items() if rule is not None}


def _find_problem(value: Any, rule: _Rule, annotation: str) -> str:
    """Return what is wrong with a value, with a place for the value; empty if it is right."""
    if rule.choices:
        # True equals 1, but no choice of a number is meant by it.
        fits = any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in rule.choices)
        return "" if fits else f"is {{}}, it can be {', '.join(map(repr, rule.choices))}"
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if is_number and not math.isfinite(value):
        return "must be a finite number, given {}"
    if not str(rule):
        return ""
    if not is_number:
        return "must be a number, given {}"
    if "float" not in annotation and not isinstance(value, numbers.Integral):
        return "must be a whole number, given {}"
    return "" if rule.accepts(value) else f"must be {rule}, given {{}}"
