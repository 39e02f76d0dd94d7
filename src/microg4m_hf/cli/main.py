"""The ``microg4m`` command: finds the group, imports only that group, turns user errors into one line."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import MicroG4MError

# group -> (module with ``configure(parser)`` and ``run(args) -> int``, one-line help)
GROUPS: dict[str, tuple[str, str]] = {
    "data": ("data", "make the sample, check, count, publish and export the data set"),
    "demo": ("demo", "make the sample, load it, look at it"),
    "models": ("models", "list the networks, say what they are, convert checkpoints"),
    "train": ("train", "fine-tune a model from a recipe"),
    "push": ("push", "put a finished run on the Hub"),
    "score": ("score", "the scores of a prediction file, with their recipe and intervals"),
    "report": ("report", "the benchmark's tables and pictures with your runs beside the published rows"),
    "explore": ("explore", "browse clips with boxes, references and your runs in a web page on this machine"),
    "gap": ("gap", "where the gap between Earth and space comes from: transfer, leak, orientation"),
    "compare": ("compare", "which differences between two systems are real"),
    "predict": ("predict", "what a model says about the clips"),
    "metrics": ("metrics", "put the evaluate modules on the Hub"),
    "env": ("env", "what is installed, what is missing and how to get it"),
}


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="microg4m",
        description="The MicroG-4M benchmark on the command line.",
        epilog="microg4m GROUP --help explains a group.",
    )
    parser.add_argument("--version", action="version", version=f"microg4m-hf {__version__}")
    groups = parser.add_subparsers(title="groups", metavar="GROUP")
    for name, (_, text) in GROUPS.items():
        groups.add_parser(name, help=text, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 good, 1 the check found faults, 2 wrong use).

    >>> main(["env", "--brief"])  # doctest: +ELLIPSIS
    microg4m-hf ...
    0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in GROUPS:
        overview = _overview()
        if not words:
            overview.print_help()
            return 0
        overview.parse_args(words)  # --help, --version, or argparse's own error for an unknown group
        return 0
    name, rest = words[0], words[1:]
    try:
        module = importlib.import_module(f"{__package__}.{GROUPS[name][0]}")
        parser = argparse.ArgumentParser(prog=f"microg4m {name}", description=GROUPS[name][1])
        module.configure(parser)
        return module.run(parser.parse_args(rest))
    except MicroG4MError as error:
        print(f"microg4m: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        # A path that cannot be read or written; without a path it is a fault of ours, and its traceback is needed.
        if error.filename is None:
            raise
        print(f"microg4m: {error.filename}: {error.strerror}; give another path", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # `microg4m … | head` is no error, and Python would complain while shutting down
        return 0
    except KeyboardInterrupt:
        print("microg4m: stopped; run the same command again to go on", file=sys.stderr)
        return 130
