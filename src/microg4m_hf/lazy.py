"""Load public names on first use, and keep the import paths of moved modules working."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Old path -> new path, for code written against an earlier version and for its documentation and notebooks.
MOVED = {
    "microg4m_hf.bench.explorer.routes": "microg4m_hf.web.routes",
    "microg4m_hf.data.layout": "microg4m_hf.data.release.layout",
    "microg4m_hf.data.sample.practice": "microg4m_hf.data.sample.world",
    "microg4m_hf.inference.load": "microg4m_hf.inference.vlm.loading",
    "microg4m_hf.inference.local": "microg4m_hf.inference.vlm.local",
    "microg4m_hf.inference.prompts": "microg4m_hf.inference.items",
    "microg4m_hf.progress": "microg4m_hf.runtime",
    "microg4m_hf.training.windows": "microg4m_hf.training.loading.dataset",
}


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make the public names of a package available without importing the modules that define them.

    The public names are those that its ``__init__.py`` imports in the form ``from .module import name as name``, which
    is how type checkers and editors recognize them as well. Under ``if TYPE_CHECKING:`` these imports do not run; the
    file is parsed instead.

    Args:
        package: The ``__name__`` of the package.

    Returns:
        ``__getattr__``, ``__dir__`` and ``__all__`` of the package. ``dir()`` lists the public names, the submodules
        that are loaded and the module attributes such as ``__file__``, but not what the package imports for itself.

    Example:
        >>> __getattr__, __dir__, __all__ = attach("microg4m_hf.models")
        >>> "create" in __all__, __getattr__("create").__module__
        (True, 'microg4m_hf.models.build')
    """
    try:
        source = pkgutil.get_data(package, "__init__.py") or b""
    except OSError as error:
        raise ImportError(
            f"{package} lists its names in {error.filename}, which is missing; install microg4m-hf with its sources"
        ) from error
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.level == 1]
    # The module, relative to the package, that defines each name; empty for submodules and subpackages.
    module_of = {one.name: node.module or "" for node in imports for one in node.names if one.asname == one.name}

    def get_attribute(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{package}.{module_of[name] or name}")
        except ImportError as error:
            from .extras import name_extra

            named = name_extra(error, f"{package}.{name}")
            raise named from (None if named is error else error)
        return getattr(module, name) if module_of[name] else module

    def list_attributes() -> list[str]:
        present = vars(sys.modules[package])
        return sorted({n for n in present if n.startswith("__") or f"{package}.{n}" in sys.modules}.union(module_of))

    return get_attribute, list_attributes, sorted(module_of)


class _MovedModules:
    """The last finder on ``sys.meta_path``: import the module at its new path under its old name."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python create the module that `exec_module` replaces."""

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(MOVED[module.__name__])


def install_moved_modules() -> None:
    """Make the old paths in ``MOVED`` importable. Safe to call more than once."""
    install_finder(_MovedModules(), first=False)


def install_finder(finder: Any, *, first: bool) -> None:
    """Put a finder at one end of ``sys.meta_path``, in place of an older one of the same class.

    The class is compared by name: after the modules of the package were removed from ``sys.modules`` and imported again
    (Streamlit, the reload of Gradio, tests), the older finder belongs to a class of the same name that is gone.

    Args:
        finder: The finder.
        first: Ask it before all other finders instead of after them.
    """
    kind = (type(finder).__module__, type(finder).__qualname__)
    others = [other for other in sys.meta_path if (type(other).__module__, type(other).__qualname__) != kind]
    sys.meta_path[:] = [finder, *others] if first else [*others, finder]
