"""Load public names on first use, and keep the import paths of moved modules working."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Old path -> new path, for code written against an earlier version and for its documentation and notebooks.
MOVED = {
    "microg4m_hf.data.layout": "microg4m_hf.data.release.layout",
    "microg4m_hf.data.sample.practice": "microg4m_hf.data.sample.world",
    "microg4m_hf.inference.load": "microg4m_hf.inference.vlm.loading",
    "microg4m_hf.inference.local": "microg4m_hf.inference.vlm.local",
    "microg4m_hf.inference.prompts": "microg4m_hf.inference.items",
    "microg4m_hf.progress": "microg4m_hf.runtime",
    "microg4m_hf.training.windows": "microg4m_hf.training.dataset",
}


def attach(
    package: str, public: Mapping[str, Sequence[str]], *, modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make the public names of a package available without importing the modules that define them.

    The package repeats its names under ``if TYPE_CHECKING:`` for type checkers and editors; a test compares the two.

    Args:
        package: The ``__name__`` of the package.
        public: The names to export, by the module (relative to the package) that defines them.
        modules: Submodules and subpackages to load on first use as well.

    Returns:
        ``__getattr__``, ``__dir__`` and ``__all__`` of the package. ``dir()`` lists the public names, the submodules
        that are loaded and the module attributes such as ``__file__``, but not what the package imports for itself.

    Example:
        >>> __getattr__, __dir__, __all__ = attach("microg4m_hf.metrics", {"har.scores": ["har_scores"]})
        >>> __all__, __getattr__("har_scores").__module__
        (['har_scores'], 'microg4m_hf.metrics.har.scores')
    """
    module_of = {name: module for module, names in public.items() for name in names}
    exported = sorted([*module_of, *modules])

    def get_attribute(name: str) -> Any:
        if name in module_of:
            return getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def list_attributes() -> list[str]:
        present = vars(sys.modules[package])
        return sorted({n for n in present if n.startswith("__") or f"{package}.{n}" in sys.modules}.union(exported))

    return get_attribute, list_attributes, exported


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
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
