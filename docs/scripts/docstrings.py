"""Adapt the docstrings of the package to mkdocstrings: an ``Example:`` is code, and roles of Sphinx are code words."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Rewrite the docstring of every object as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = adapt(obj.docstring.value)


def adapt(text: str) -> str:
    """Return a docstring as mkdocstrings understands it.

    >>> adapt("Calls :func:`load`.")
    'Calls `load`.'
    """
    text = re.sub(r"^(\s*)Example:[ \t]*$", r"\1Examples:", text, flags=re.MULTILINE)
    return re.sub(r":(?:class|func|meth|mod|attr):`~?([^`]+)`", r"`\1`", text)
