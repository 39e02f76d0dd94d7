"""Optional packages: import one with an error that names the extra to install, or look up installed versions."""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from importlib import metadata
from types import ModuleType

from .errors import MissingExtraError

# importable name -> the extra that installs it
EXTRAS = {
    "accelerate": "train",
    "cv2": "opencv",
    "decord": "decord",
    "gradio": "explore",
    "matplotlib": "report",
    "nltk": "text",
    "num2words": "vlm",
    "openai": "api",
    "peft": "vlm",
    "pycocoevalcap": "meteor",
    "ray": "ray",
    "rouge_score": "text",
    "safetensors": "train",
    "scenedetect": "curate",
    "scipy": "train",
    "sentence_transformers": "text",
    "starlette": "explore",
    "tokenizers": "train",
    "torch": "train",
    "torchcodec": "torchcodec",
    "torchvision": "train",
    "transformers": "train",
}
# Modules of this package whose imports belong to another extra than usual: it installs a later version, or more.
_EXTRA_OF = {
    "curate": "curate",
    "inference.vlm": "vlm",
    "metrics.text": "text",
    "training.tiny_vlm": "vlm",
    "training.vlm": "vlm",
}


def require(module: str, purpose: str, *, extra: str | None = None) -> ModuleType:
    """Import an optional module.

    Args:
        module: The dotted name of the module.
        purpose: What needs it, to begin the error message with.
        extra: The extra to name, when another one than usual installs it.

    Raises:
        MissingExtraError: If it cannot be imported; the message names the extra to install.

    Example:
        >>> require("json", "reading predictions").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(module, purpose, extra, error) from error


def name_extra(error: ImportError, purpose: str) -> ImportError:
    """Return the error that names the extra of a module that cannot be imported; the error itself for other modules.

    Most functions import optional packages without `require`. The package doors (`lazy.attach`) and the command line
    pass what these imports raise to this function.

    Args:
        error: The error of the import.
        purpose: What was wanted, to begin the message with.

    Example:
        >>> str(name_extra(ModuleNotFoundError("No module named 'torch'", name="no_such.x"), "this"))
        "No module named 'torch'"
    """
    if isinstance(error, MissingExtraError) or (error.name or "").partition(".")[0] not in EXTRAS:
        return error
    extra = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        importer = str(frame.f_globals.get("__name__", "")).removeprefix(f"{__package__}.")
        extra = next((name for module, name in _EXTRA_OF.items() if f"{importer}.".startswith(f"{module}.")), extra)
    return _missing(str(error.name), purpose, extra, error)


def _missing(module: str, purpose: str, extra: str | None, error: ImportError) -> MissingExtraError:
    top = module.partition(".")[0]
    extra = extra or EXTRAS.get(top)
    install = f"pip install 'microg4m-hf[{extra}]'" if extra else f"pip install {top}"
    if importlib.util.find_spec(top) is None:
        why = f"{purpose} needs the package {top}, which is not installed"
    else:
        why = f"{purpose} needs the package {top}, which is installed but cannot be imported ({error})"
    return MissingExtraError(f"{why}; {install}")


def is_installed(module: str) -> bool:
    """Return whether a top-level module can be found, without importing it."""
    return importlib.util.find_spec(module) is not None


def package_versions(*names: str) -> dict[str, str | None]:
    """Return the installed version of each distribution, None for one that is not installed.

    >>> package_versions("no-such-package")
    {'no-such-package': None}
    """
    versions: dict[str, str | None] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions
