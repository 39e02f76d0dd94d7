"""``microg4m env``: print the versions of packages, the video decoders, and how to install what is missing."""

from __future__ import annotations

import argparse
import platform

from .._version import __version__
from ..errors import MissingExtraError
from ..extras import EXTRAS, package_versions

_DEPENDENCIES = ("av", "datasets", "evaluate", "huggingface_hub", "numpy", "pyarrow")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--brief", action="store_true", help="print one line: version, Python, machine")


def run(args: argparse.Namespace) -> int:
    print(f"microg4m-hf {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    if args.brief:
        return 0
    from ..data.video.backends import BACKENDS, backend_status
    from ..data.video.released_frames import check_programs

    packages = [name for name in EXTRAS if name != "cv2"]  # several distributions have it; see the decoders
    for name, version in package_versions(*_DEPENDENCIES, *packages).items():
        package = f"'microg4m-hf[{EXTRAS[name]}]'" if name in EXTRAS else name
        print(f"  {name:24}{version or f'missing: pip install {package}'}")
    print(f"decoders (backend='auto' takes {BACKENDS[0]})")
    for name, state in backend_status().items():
        print(f"  {name:24}{state}")
    try:
        state = check_programs()
    except MissingExtraError as error:
        state = f"missing, not needed: {error}"
    print(f"  {'as_released':24}{state}")
    return 0
