"""Optional packages: import one with an error that names the extra to install, or look up installed versions."""

from __future__ import annotations

import importlib
import importlib.util
from importlib import metadata
from types import ModuleType

from .errors import MissingExtraError

# importable name -> the extra that installs it
EXTRAS = {
    "accelerate": "train",
    "decord": "decord",
    "gradio": "explore",
    "nltk": "text",
    "num2words": "vlm",
    "openai": "api",
    "peft": "vlm",
    "pycocoevalcap": "meteor",
    "safetensors": "train",
    "sentence_transformers": "text",
    "torch": "train",
    "torchcodec": "torchcodec",
    "torchvision": "train",
    "transformers": "train",
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
        top = module.partition(".")[0]
        extra = extra or EXTRAS.get(top)
        install = f"pip install 'microg4m-hf[{extra}]'" if extra else f"pip install {top}"
        if importlib.util.find_spec(top) is None:
            why = f"{purpose} needs the package {top}, which is not installed"
        else:
            why = f"{purpose} needs the package {top}, which is installed but cannot be imported ({error})"
        raise MissingExtraError(f"{why}; {install}") from error


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
