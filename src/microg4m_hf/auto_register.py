"""Register with ``datasets``, ``evaluate`` and ``transformers`` as soon as one is imported, without importing them.

- ``datasets.load_dataset("microg4m", ...)`` finds the builder. ``datasets`` has no plug-in interface, so
  ``datasets.load.dataset_module_factory`` is wrapped. ``microg4m_hf.load_dataset`` does not need this.
- ``evaluate.load("microg4m_har")`` finds the metric modules, in the same way.
- ``AutoModel...``, ``AutoProcessor`` and ``pipeline("microg4m-har")`` find the models. Only the config is imported with
  ``transformers``; stand-ins represent the other classes, and import them when they are used.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import DataError
from .lazy import install_finder

NAME = "microg4m"
METRICS = ("microg4m_har", "microg4m_caption", "microg4m_vqa")
_WRAPPED = "__microg4m_hf__"
# Modules that import a factory by name.
_IMPORTERS = {
    "dataset_module_factory": ("datasets.load", "datasets.inspect", "datasets.commands.test"),
    "evaluation_module_factory": ("evaluate.loading", "evaluate.inspect", "evaluate.evaluation_suite"),
}
# The packages whose modules derive classes from those of transformers.
_ON_TRANSFORMERS = tuple(f"{__package__}.{name}." for name in ("models", "inference", "training"))


def install() -> None:
    """Register with what is already imported, and with the rest once it is. Safe to call more than once."""
    install_finder(_AfterImport(), first=True)
    for target, action in _ACTIONS.items():
        module = sys.modules.get(target)
        if module is not None and not getattr(module.__spec__, "_initializing", False):
            action(module)


class _AfterImport:
    """The first finder on ``sys.meta_path``: let the others find a module and run an action once it is executed.

    It stays installed, so that a second import (a reload, a test that clears ``sys.modules``) is handled as well.
    """

    def __init__(self) -> None:
        self._searching: set[tuple[int, str]] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        search = (threading.get_ident(), name)
        # Another package's finder may also ask all finders, this one included.
        if name not in _ACTIONS or search in self._searching:
            return None
        self._searching.add(search)
        try:
            for finder in tuple(sys.meta_path):
                if finder is not self and hasattr(finder, "find_spec"):
                    spec = finder.find_spec(name, path, target)
                    if spec is not None:
                        _run_after(spec.loader, _ACTIONS[name])
                        return spec
        finally:
            self._searching.discard(search)
        return None


def _run_after(loader: Any, action: Callable[[ModuleType], None]) -> None:
    original = getattr(loader, "exec_module", None)
    if original is None:
        return

    def exec_module(module: ModuleType) -> None:
        original(module)
        action(module)

    loader.exec_module = exec_module


def register_builder(load: ModuleType) -> None:
    """Wrap the factory of the module ``datasets.load``; warn if this version of ``datasets`` has another one."""
    instead = f'use microg4m_hf.load_dataset("har") instead of datasets.load_dataset("{NAME}", "har")'
    _replace(load, "dataset_module_factory", lambda original: _wrap_dataset_factory(original, load), instead)


def register_metrics(loading: ModuleType) -> None:
    """Wrap the factory of the module ``evaluate.loading``; warn if this version of ``evaluate`` has another one."""
    instead = "use the functions of microg4m_hf.metrics, or pass evaluate.load the path of the module"
    _replace(loading, "evaluation_module_factory", _wrap_metric_factory, instead)


def _replace(load: ModuleType, name: str, wrap: Callable[[Any], Callable[..., Any]], instead: str) -> None:
    """Wrap a factory in the module that defines it and in those that import it; wrap anew what is wrapped already."""
    current = getattr(load, name, None)
    # The wrapper of an earlier import of this package raises errors of classes that are gone.
    original = getattr(current, _WRAPPED, current)
    try:
        factory = wrap(original)
    except (AttributeError, TypeError, ValueError) as error:
        library = importlib.import_module(load.__name__.partition(".")[0])
        warnings.warn(
            f"microg4m cannot be registered with {library.__name__} {library.__version__} ({error}); {instead}",
            RuntimeWarning,
            stacklevel=3,
        )
        return
    setattr(factory, _WRAPPED, original)
    for importer in _IMPORTERS[name]:
        module = sys.modules.get(importer)
        if module is not None and getattr(module, name, None) is current:
            setattr(module, name, factory)


def _signature(original: Any, *expected: str) -> inspect.Signature:
    if original is None:
        raise AttributeError("it has no such factory")
    signature = inspect.signature(original)
    for parameter in expected:
        if parameter not in signature.parameters:
            raise TypeError(f"{original.__name__} has no parameter {parameter}")
    return signature


def _wrap_dataset_factory(original: Any, load: ModuleType) -> Callable[..., Any]:
    signature = _signature(original, "path", "revision", "data_files")
    dataset_module = load.DatasetModule
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

    return dataset_module_factory


def _wrap_metric_factory(original: Any) -> Callable[..., Any]:
    signature = _signature(original, "path")

    @functools.wraps(original)
    def evaluation_module_factory(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        name = bound.arguments["path"]
        if name in METRICS and not Path(name).exists():  # as for other modules, a local one goes first
            bound.arguments["path"] = str(_metric_script(name))
        return original(*bound.args, **bound.kwargs)

    return evaluation_module_factory


def _metric_script(name: str) -> Path:
    return Path(__file__).parent / "metrics" / "modules" / name / f"{name}.py"


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


def register_config(auto: ModuleType) -> None:
    """Register the config with ``AutoConfig``."""
    config = _config_class()
    if config is not None:
        auto.AutoConfig.register(config.model_type, config, exist_ok=True)


def register_models(auto: ModuleType) -> None:
    """Register stand-ins for the models with ``AutoModel`` and ``AutoModelForVideoClassification``."""
    config = _config_class()
    if config is not None:
        for auto_class, name in (
            (auto.AutoModel, "MicroG4MHarModel"),
            (auto.AutoModelForVideoClassification, "MicroG4MHarForVideoClassification"),
        ):
            auto_class.register(config, _StandIn("models.modeling", name, config_class=config), exist_ok=True)
        # The pipeline reads this table, which registration leaves alone, and would log that it does not know the model.
        auto.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES[config.model_type] = "MicroG4MHarForVideoClassification"


def register_processor(auto: ModuleType) -> None:
    """Register a stand-in for the processor with ``AutoProcessor``."""
    config = _config_class()
    if config is not None:
        auto.AutoProcessor.register(config, _StandIn("models.processing", "MicroG4MHarProcessor"), exist_ok=True)


def register_video_processor(auto: ModuleType) -> None:
    """Register a stand-in for the video processor with ``AutoVideoProcessor``, which looks for classes only."""
    config = _config_class()
    if config is not None:
        stand_in = _StandInType("MicroG4MHarVideoProcessor", (), {"_module": "inference.video_processor"})
        auto.AutoVideoProcessor.register(config, stand_in, exist_ok=True)


def register_pipeline(pipelines: ModuleType) -> None:
    """Register a stand-in for the pipeline of the task ``microg4m-har``."""
    from transformers import AutoModelForVideoClassification

    pipelines.PIPELINE_REGISTRY.supported_tasks.pop("microg4m-har", None)  # it logs a warning for a second registration
    pipelines.PIPELINE_REGISTRY.register_pipeline(
        "microg4m-har",
        pipeline_class=_StandIn("inference.har_pipeline", "HarPipeline"),
        pt_model=AutoModelForVideoClassification,
        type="multimodal",
    )


def _import_own(name: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.{name}")


def _config_class() -> Any:
    """Return the config class, None for a version of transformers that it does not support."""
    base = getattr(sys.modules.get("transformers.configuration_utils"), "PreTrainedConfig", None)
    known = sys.modules.get(f"{__package__}.models.configuration")
    if getattr(known, "PreTrainedConfig", base) is not base:
        # transformers was removed from sys.modules and imported again: forget what was built on the first import.
        for name in [name for name in sys.modules if name.startswith(_ON_TRANSFORMERS)]:
            del sys.modules[name]
    try:
        return getattr(_import_own("models.configuration"), "MicroG4MHarConfig", None)
    except ImportError:
        return None


class _StandIn:
    """Represent a class in a table of ``transformers`` until it is used: then import it, and act as it does."""

    def __init__(self, module: str, name: str, **known: Any) -> None:
        vars(self).update(known, _module=module, __name__=name)

    def _load(self) -> Any:
        return getattr(_import_own(self._module), self.__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._load()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # e.g. of `copy` and `inspect`, which ask for what is not there
            raise AttributeError(name)
        return getattr(self._load(), name)


class _StandInType(type):
    """A stand-in that is a class. To import the real one while ``transformers`` is being imported would be a circle."""

    _module: str

    def _load(cls) -> Any:
        return getattr(_import_own(cls._module), cls.__name__)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls._load()(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls._load(), name)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls._load())


_ACTIONS: dict[str, Callable[[ModuleType], None]] = {
    "datasets.load": register_builder,
    "evaluate.loading": register_metrics,
    "transformers.models.auto.configuration_auto": register_config,
    "transformers.models.auto.modeling_auto": register_models,
    "transformers.models.auto.processing_auto": register_processor,
    "transformers.models.auto.video_processing_auto": register_video_processor,
    "transformers.pipelines": register_pipeline,
}
