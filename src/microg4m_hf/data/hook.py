"""``datasets.load_dataset("microg4m", ...)``: teaches ``datasets`` the bare name, without importing it.

``datasets`` has no plug-ins, so ``datasets.load.dataset_module_factory`` is wrapped: at once where ``datasets`` is
already imported, else just after ``datasets.load`` runs. ``microg4m_hf.load_dataset`` needs nothing of this.
"""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAME = "microg4m"
_TARGET = "datasets.load"
_MARK = "__microg4m_hf__"
# Modules that took the function by name when they were imported.
_HOLDERS = ("datasets.load", "datasets.inspect", "datasets.commands.test")


def install() -> None:
    """Make the bare name known now or as soon as ``datasets`` is imported; calling it again changes nothing."""
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())
    module = sys.modules.get(_TARGET)
    if module is not None:
        teach(module)


def teach(load: ModuleType) -> None:
    """Wrap the factory of a ``datasets.load`` module; a version that has no such factory is named in a warning."""
    original = getattr(load, "dataset_module_factory", None)
    if getattr(original, _MARK, False):
        return
    try:
        factory = _wrapped(original, load.DatasetModule)
    except (AttributeError, TypeError, ValueError) as error:
        import datasets

        warnings.warn(
            f"datasets {datasets.__version__} cannot be taught the name {NAME!r} ({error}); "
            f'use microg4m_hf.load_dataset("har") instead of datasets.load_dataset("{NAME}", "har")',
            RuntimeWarning,
            stacklevel=2,
        )
        return
    for name in _HOLDERS:
        holder = sys.modules.get(name)
        if holder is not None and getattr(holder, "dataset_module_factory", None) is original:
            holder.dataset_module_factory = factory  # type: ignore[attr-defined]


def _wrapped(original: Any, dataset_module: Any) -> Callable[..., Any]:
    if original is None:
        raise AttributeError("datasets.load has no dataset_module_factory")
    signature = inspect.signature(original)
    for parameter in ("path", "revision", "data_files"):
        if parameter not in signature.parameters:
            raise TypeError(f"dataset_module_factory has no parameter {parameter}")
    inspect.signature(dataset_module).bind("module", "hash", {})

    @functools.wraps(original)
    def dataset_module_factory(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        if given["path"] != NAME:
            return original(*args, **kwargs)
        from .bare_name import builder_kwargs, shadowed_by_folder

        if shadowed_by_folder(NAME):
            return original(*args, **kwargs)
        extra = builder_kwargs(revision=given.get("revision"), data_files=given.get("data_files"))
        # The builder computes its own hash, of code and data, so the one here is only a placeholder.
        return dataset_module(f"{__package__}.builder", NAME, extra)

    setattr(dataset_module_factory, _MARK, True)
    return dataset_module_factory


class _AfterImport:
    """A finder that finds nothing itself: it lets the others find ``datasets.load`` and acts once it has run.

    It stays in place, so that a second import (a reload, a test that clears ``sys.modules``) is taught as well.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _TARGET:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                _teach_after(spec)
                return spec
        return None


def _teach_after(spec: ModuleSpec) -> None:
    run = getattr(spec.loader, "exec_module", None)
    if run is None:
        return

    def exec_module(module: ModuleType) -> None:
        run(module)
        teach(module)

    spec.loader.exec_module = exec_module  # type: ignore[union-attr, method-assign]
