"""Read YAML from strangers: small, flat enough, without tricks, and refused in milliseconds otherwise.

``yaml.safe_load`` constructs no foreign objects, but it accepts aliases that expand a thousandfold, nesting that
exceeds the recursion limit, keys that silently replace earlier ones and integers of any length.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from .errors import RecipeError

MAX_BYTES = 32 * 1024  # a recipe has about 2 KB
MAX_DEPTH = 24
MAX_VALUES = 2_000  # with every alias expanded; a recipe has about 150
MAX_DIGITS = 40
_PREFIX = "tag:yaml.org,2002:"
_TYPES = ("null", "bool", "int", "float", "str", "seq", "map")


def read_yaml(path: str | os.PathLike[str], error: type[Exception] = RecipeError) -> Any:
    """Read a YAML file.

    Args:
        path: The file.
        error: The class of the errors.

    Returns:
        The values: dicts, lists, strings, numbers, booleans and None. Dates stay strings.

    Raises:
        Exception: Of the class ``error``, if the content is not valid YAML or exceeds the limits of this module.
        FileNotFoundError: The file does not exist.
    """
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if len(content) <= MAX_BYTES:
            raise error(f"{path} is not valid YAML: it is not UTF-8 text; save it as UTF-8") from None
        text = content.decode("utf-8", "replace")
    return parse_yaml(text, str(path), error)


def parse_yaml(text: str, where: str = "the text", error: type[Exception] = RecipeError) -> Any:
    """Parse YAML text, see :func:`read_yaml`.

    >>> parse_yaml("name: mine\\nsteps: [0, 10]")
    {'name': 'mine', 'steps': [0, 10]}
    >>> parse_yaml("lr: 0.1\\nlr: 0.2", "mine.yaml")
    Traceback (most recent call last):
    microg4m_hf.errors.RecipeError: mine.yaml is not valid YAML: the key 'lr' appears twice, again in line 2
    """
    if len(text) > MAX_BYTES:
        raise error(
            f"{where} is not valid YAML: it is longer than {MAX_BYTES} bytes; give a recipe, which has about 2 KB"
        )
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError as problem:
        raise error(f"{where} is not valid YAML: {' '.join(str(problem).split())[:300]}") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        # PyYAML lets these pass for values such as "!!int x".
        raise error(f"{where} is not valid YAML: {' '.join(str(problem).split())[:200]}") from None


class _Refused(yaml.YAMLError):
    def __init__(self, problem: str, node: Any) -> None:
        super().__init__(f"{problem} in line {node.start_mark.line + 1}")


class _Loader(yaml.SafeLoader):
    """A loader without dates (which stop PyYAML when they do not exist), bytes and sets."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_PREFIX}timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.removeprefix(_PREFIX) in _TYPES
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._composed = 0
        self._values: dict[int, int] = {}  # values below each finished node, with aliases expanded

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            target = self.anchors.get(event.anchor)
            if target is not None and id(target) not in self._values:
                raise _Refused(f"the alias *{event.anchor} contains itself,", event)
            return super().compose_node(parent, index)
        self._depth, self._composed = self._depth + 1, self._composed + 1
        if self._depth > MAX_DEPTH:
            raise _Refused(f"values are nested more than {MAX_DEPTH} deep", event)
        if self._composed > MAX_VALUES:
            raise _Refused(f"there are more than {MAX_VALUES} values", event)
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        flat = [part for pair in children for part in pair] if isinstance(node, yaml.MappingNode) else children
        self._values[id(node)] = count = 1 + sum(self._values[id(child)] for child in flat)
        if count > MAX_VALUES:
            raise _Refused(f"aliases expand to more than {MAX_VALUES} values", node)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_PREFIX}merge":
                if (name := self.construct_object(key)) in seen:
                    raise _Refused(f"the key {name!r} appears twice, again", key)
                seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_integer(self, node: Any) -> int:
        if len(node.value) > MAX_DIGITS:
            raise _Refused(f"an integer has more than {MAX_DIGITS} digits", node)
        return self.construct_yaml_int(node)


_Loader.add_constructor(f"{_PREFIX}int", _Loader.construct_integer)
