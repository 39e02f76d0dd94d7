"""The ``microg4m`` command: import the group that is called, run it, and print user errors on one line."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from .._version import __version__
from ..exits import run_command
from .help import finish_help

# group -> (module, one-line help). The module has ``configure(parser)`` and ``run(args) -> int``; a group with commands
# has a table ``COMMANDS`` of them instead: name -> (configure, run, one-line help).
GROUPS: dict[str, tuple[str, str]] = {
    "data": ("data", "make the sample; check, count, publish and export the dataset"),
    "demo": ("demo", "make the sample, look at it, train tiny models on it and report their scores"),
    "models": ("models", "list and describe the networks, convert checkpoints"),
    "weights": ("weights", "download the authors' fine-tuned models and the pre-trained ones by name"),
    "train": ("train", "fine-tune a model from a recipe"),
    "push": ("push", "push a finished run to the Hub"),
    "score": ("score", "score a prediction file, with confidence intervals"),
    "reproduce": ("reproduce", "run published rows again and judge whether they come out"),
    "report": ("report", "write tables and figures with your runs beside the published rows"),
    "explore": ("explore", "browse clips with boxes, references and predictions in a web page on this machine"),
    "gap": ("gap", "measure parts of the gap between Earth and space: transfer, leak, orientation"),
    "compare": ("compare", "test which differences between two prediction files are significant"),
    "predict": ("predict", "predict actions, captions or answers with a model"),
    "curate": ("curate", "make a dataset from raw footage: cut, find people, filter, review, release"),
    "watch": ("watch", "follow people through a film and ask an action model what each of them does"),
    "metrics": ("metrics", "push the evaluate modules to the Hub"),
    "env": ("env", "show what is installed, what is missing and how to install it"),
}


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="microg4m",
        description="The MicroG-4M benchmark on the command line.",
        epilog="See microg4m GROUP --help for the options of a group.",
    )
    parser.add_argument("--version", action="version", version=f"microg4m-hf {__version__}")
    groups = parser.add_subparsers(title="groups", metavar="GROUP")
    for name, (_, text) in GROUPS.items():
        groups.add_parser(name, help=text, add_help=False)
    return parser


def make_parser(group: str) -> argparse.ArgumentParser:
    """Return the parser of a group. ``args.execute(args)`` runs the command, whose name is ``args.what``."""
    name, text = GROUPS[group]
    module = importlib.import_module(f"{__package__}.{name}")
    parser = argparse.ArgumentParser(prog=f"microg4m {group}", description=text)
    if not hasattr(module, "COMMANDS"):
        module.configure(parser)
        parser.set_defaults(execute=module.run)
        finish_help(parser, group)
        return parser
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="what")
    for command, (configure, run, help_text) in module.COMMANDS.items():
        subparser = parsers.add_parser(command, help=help_text, description=help_text)
        configure(subparser)
        subparser.set_defaults(execute=run)
    finish_help(parser, group)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 for success, 1 when a check found faults, 2 for an error of the user.

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

    options: set[str] = set()

    def execute() -> int:
        args = make_parser(name).parse_args(rest)
        options.update(vars(args))
        args.words = words  # what a report shows as its command
        return args.execute(args)

    command = next((f"{name} {word}" for word in rest[:1] if not word.startswith("-")), name)
    return run_command(command, execute, options)
