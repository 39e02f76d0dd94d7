"""``microg4m env``: versions, backend_status, what is missing and how to get it."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata

from .._version import __version__

# distribution -> the extra that brings it ("" for the base install)
_PACKAGES = {
    "datasets": "",
    "evaluate": "",
    "huggingface_hub": "",
    "numpy": "",
    "pyarrow": "",
    "av": "",
    "decord": "decord",
    "torchcodec": "torchcodec",
    "torch": "train",
    "torchvision": "train",
    "transformers": "train",
    "accelerate": "train",
    "openai": "api",
    "gradio": "explore",
    "sentence-transformers": "text",
    "nltk": "text",
    "pycocoevalcap": "meteor",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--brief", action="store_true", help="one line: version, Python, machine")


def run(args: argparse.Namespace) -> int:
    head = f"microg4m-hf {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    print(head)
    if args.brief:
        return 0
    for name, extra in _PACKAGES.items():
        try:
            state = metadata.version(name)
        except metadata.PackageNotFoundError:
            state = "missing: " + (f"pip install 'microg4m-hf[{extra}]'" if extra else f"pip install {name}")
        print(f"  {name:24}{state}")
    _print_decoders()
    return 0


def _print_decoders() -> None:
    from ..data.video.backends import BACKENDS, backend_status

    print(f"decoders (backend='auto' takes {BACKENDS[0]})")
    for name, state in backend_status().items():
        print(f"  {name:24}{state}")
