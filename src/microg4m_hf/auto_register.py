"""Register with ``datasets`` and ``transformers`` as soon as either is imported, without importing them.

- ``datasets.load_dataset("microg4m", ...)`` finds our builder. ``datasets`` has no plug-ins, so
  ``datasets.load.dataset_module_factory`` is wrapped; ``microg4m_hf.load_dataset`` needs nothing of this.
- ``AutoModel...``, ``AutoProcessor`` and ``pipeline("microg4m-har")`` of transformers know our classes: our modules
  register themselves when they are imported, so each is imported right after the module it registers with.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import DataError

NAME = "microg4m"
_MARK = "__microg4m_hf__"
# Modules that took the function by name when they were imported.
_HOLDERS = ("datasets.load", "datasets.inspect", "datasets.commands.test")


def install() -> None:
    """Register with what is already imported, and with the rest as soon as it is. Safe to call more than once."""
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())
    for target, action in _ACTIONS.items():
        module = sys.modules.get(target)
        if module is not None and not getattr(module.__spec__, "_initializing", False):
            action(module)


class _AfterImport:
    """A finder that lets the others find a module and runs our action once that module has run.

    It stays in place, so that a second import (a reload, a test that clears ``sys.modules``) is handled as well.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _ACTIONS:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                _run_after(spec.loader, _ACTIONS[name])
                return spec
        return None


def _run_after(loader: Any, action: Callable[[ModuleType], None]) -> None:
    run = getattr(loader, "exec_module", None)
    if run is None:
        return

    def exec_module(module: ModuleType) -> None:
        run(module)
        action(module)

    loader.exec_module = exec_module


def _import_ours(name: str, _: ModuleType) -> None:
    name = f"{__package__}.{name}"
    if name in sys.modules:
        return  # it has registered itself, or is about to
    try:
        importlib.import_module(name)
    except ImportError:
        sys.modules.pop(name, None)  # no torchvision, say: whoever uses the class gets the message then


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
        if shadowed_by_folder(NAME):
            return original(*args, **kwargs)
        extra = builder_kwargs(revision=given.get("revision"), data_files=given.get("data_files"))
        # The builder computes its own hash, of code and data, so the one here is only a placeholder.
        return dataset_module(f"{__package__}.data.builder", NAME, extra)

    setattr(dataset_module_factory, _MARK, True)
    return dataset_module_factory


def shadowed_by_folder(name: str) -> bool:
    """Whether ``./<name>`` is a data set that ``datasets`` itself can load, and so comes first.

    A data set has a card (``README.md``) that declares configs, or parquet files. Any other folder of that name, a
    clone of a project or the authors' annotation files, lies there by accident (``data_dir=`` reads the latter).
    """
    folder = Path(name)
    if not folder.is_dir():
        return False
    if (folder / "actions.csv").exists() or (folder / "annotation_files").exists():
        return False
    return _card_declares_data(folder / "README.md") or any(
        next(iter(folder.glob(pattern)), None) is not None for pattern in ("*.parquet", "*/*.parquet")
    )


def _card_declares_data(card: Path) -> bool:
    import yaml

    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if not text.startswith("---"):
        return False
    try:
        header = yaml.safe_load(text[3:].partition("\n---")[0])
    except yaml.YAMLError:
        return False
    return isinstance(header, dict) and ("configs" in header or "dataset_info" in header)


def builder_kwargs(*, revision: object, data_files: object) -> dict[str, Any]:
    """What the factory hands to the builder beside the arguments that ``datasets`` passes on by itself."""
    if data_files is not None:
        raise DataError(
            "data_files= has no meaning for microg4m, whose files have fixed names",
            value=data_files,
            hint="use data_dir= for a folder laid out like the release",
        )
    extra: dict[str, Any] = {"dataset_name": "microg4m"}
    if revision is not None:
        extra["revision"] = str(revision)
    return extra


_ACTIONS: dict[str, Callable[[ModuleType], None]] = {
    "datasets.load": teach,
    "transformers.models.auto.configuration_auto": functools.partial(_import_ours, "models.configuration"),
    "transformers.models.auto.modeling_auto": functools.partial(_import_ours, "models.modeling"),
    "transformers.models.auto.processing_auto": functools.partial(_import_ours, "models.processing"),
    "transformers.pipelines": functools.partial(_import_ours, "inference.har_pipeline"),
}
