"""Register with ``datasets`` and ``transformers`` as soon as either is imported, without importing them.

- ``datasets.load_dataset("microg4m", ...)`` finds the builder. ``datasets`` has no plug-in interface, so
  ``datasets.load.dataset_module_factory`` is wrapped. ``microg4m_hf.load_dataset`` does not need this.
- ``AutoModel...``, ``AutoProcessor`` and ``pipeline("microg4m-har")`` find the models. The modules that define them
  register them when imported, so each is imported right after the module of ``transformers`` that it registers with.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import DataError

NAME = "microg4m"
_WRAPPED = "__microg4m_hf__"
# Modules that import the factory by name.
_IMPORTERS = ("datasets.load", "datasets.inspect", "datasets.commands.test")


def install() -> None:
    """Register with what is already imported, and with the rest once it is. Safe to call more than once."""
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())
    for target, action in _ACTIONS.items():
        module = sys.modules.get(target)
        if module is not None and not getattr(module.__spec__, "_initializing", False):
            action(module)


class _AfterImport:
    """The first finder on ``sys.meta_path``: let the others find a module and run an action once it is executed.

    It stays installed, so that a second import (a reload, a test that clears ``sys.modules``) is handled as well.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _ACTIONS:
            return None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    _run_after(spec.loader, _ACTIONS[name])
                    return spec
        return None


def _run_after(loader: Any, action: Callable[[ModuleType], None]) -> None:
    original = getattr(loader, "exec_module", None)
    if original is None:
        return

    def exec_module(module: ModuleType) -> None:
        original(module)
        action(module)

    loader.exec_module = exec_module


def _import_module(name: str, _: ModuleType) -> None:
    name = f"{__package__}.{name}"
    if name in sys.modules:
        return  # it is registered already, or is being imported
    try:
        importlib.import_module(name)
    except ImportError:
        sys.modules.pop(name, None)  # e.g. without torchvision: using the class will raise the error


def register_builder(load: ModuleType) -> None:
    """Wrap the factory of the module ``datasets.load``; warn if this version of ``datasets`` has another one."""
    original = getattr(load, "dataset_module_factory", None)
    if getattr(original, _WRAPPED, False):
        return
    try:
        factory = _wrap_factory(original, load.DatasetModule)
    except (AttributeError, TypeError, ValueError) as error:
        import datasets

        warnings.warn(
            f"the name {NAME!r} cannot be registered with datasets {datasets.__version__} ({error}); "
            f'use microg4m_hf.load_dataset("har") instead of datasets.load_dataset("{NAME}", "har")',
            RuntimeWarning,
            stacklevel=2,
        )
        return
    for name in _IMPORTERS:
        module = sys.modules.get(name)
        if module is not None and getattr(module, "dataset_module_factory", None) is original:
            module.dataset_module_factory = factory  # type: ignore[attr-defined]


def _wrap_factory(original: Any, dataset_module: Any) -> Callable[..., Any]:
    if original is None:
        raise AttributeError("datasets.load has no dataset_module_factory")
    signature = inspect.signature(original)
    for parameter in ("path", "revision", "data_files"):
        if parameter not in signature.parameters:
            raise TypeError(f"dataset_module_factory has no parameter {parameter}")
    inspect.signature(dataset_module).bind("module", "hash", {})

    @functools.wraps(original)
    def dataset_module_factory(*args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind(*args, **kwargs).arguments
        if arguments["path"] != NAME or is_dataset_folder(NAME):
            return original(*args, **kwargs)
        if arguments.get("data_files") is not None:
            raise DataError(
                "data_files= is not supported by microg4m, whose files have fixed names",
                value=arguments["data_files"],
                hint="use data_dir= for a folder laid out like the release",
            )
        builder_kwargs: dict[str, Any] = {"dataset_name": NAME}
        if arguments.get("revision") is not None:
            builder_kwargs["revision"] = str(arguments["revision"])
        # The builder computes its own hash of code and data; the one here is a placeholder.
        return dataset_module(f"{__package__}.data.builder", NAME, builder_kwargs)

    setattr(dataset_module_factory, _WRAPPED, True)
    return dataset_module_factory


def is_dataset_folder(name: str) -> bool:
    """Return whether ``./<name>`` is a dataset that ``datasets`` can load by itself, and which therefore goes first.

    A dataset has parquet files or a card (``README.md``) that declares configs. Any other folder of that name, such as
    a clone of a project or the released annotation files (which ``data_dir=`` reads), is there by chance.
    """
    folder = Path(name)
    if not folder.is_dir() or (folder / "actions.csv").exists() or (folder / "annotation_files").exists():
        return False
    return _card_declares_data(folder / "README.md") or any(
        next(iter(folder.glob(pattern)), None) is not None for pattern in ("*.parquet", "*/*.parquet")
    )


def _card_declares_data(card: Path) -> bool:
    try:
        with card.open(encoding="utf-8") as file:
            text = file.read(2**20)
    except (OSError, UnicodeDecodeError):
        return False
    header = text[3:].partition("\n---")[0] if text.startswith("---") else ""
    return re.search(r"^(configs|dataset_info)\s*:", header, re.MULTILINE) is not None


_ACTIONS: dict[str, Callable[[ModuleType], None]] = {
    "datasets.load": register_builder,
    "transformers.models.auto.configuration_auto": functools.partial(_import_module, "models.configuration"),
    "transformers.models.auto.modeling_auto": functools.partial(_import_module, "models.modeling"),
    "transformers.models.auto.processing_auto": functools.partial(_import_module, "models.processing"),
    "transformers.pipelines": functools.partial(_import_module, "inference.har_pipeline"),
}
