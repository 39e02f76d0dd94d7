"""Makes ``AutoModel...``, ``AutoProcessor`` and ``pipeline("microg4m-har")`` of transformers know our classes.

Our modules register themselves at their ends. This hook imports each of them right after the transformers module
that it registers with, so that ``import microg4m_hf`` needs neither torch nor transformers.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_REGISTERS_AFTER = {
    "transformers.models.auto.configuration_auto": "models.config",
    "transformers.models.auto.modeling_auto": "models.modeling",
    "transformers.models.auto.processing_auto": "models.processing",
    "transformers.pipelines": "inference.har_pipeline",
}


def install() -> None:
    """Register now what can be, and the rest as soon as transformers is imported; repeating it changes nothing."""
    if not any(isinstance(finder, _AfterTransformers) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterTransformers())
    for target in _REGISTERS_AFTER:
        module = sys.modules.get(target)
        if module is not None and not getattr(module.__spec__, "_initializing", False):
            _register(target)


def _register(target: str) -> None:
    name = f"{__package__}.{_REGISTERS_AFTER[target]}"
    if name in sys.modules:
        return  # it has registered itself, or is about to
    try:
        importlib.import_module(name)
    except ImportError:
        sys.modules.pop(name, None)  # no torchvision, say: whoever uses the class gets the message then


class _AfterTransformers:
    """A finder that finds nothing itself: the others find the module, and ours runs once it has run."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _REGISTERS_AFTER:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                _run_after(spec.loader, name)
                return spec
        return None


def _run_after(loader: Any, name: str) -> None:
    run = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        run(module)
        _register(name)

    loader.exec_module = exec_module
