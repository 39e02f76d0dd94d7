"""``microg4m predict har|caption|vqa``: what a model says about the clips, as files that ``score`` reads."""

from __future__ import annotations

import argparse
import importlib

# kind -> (module with ``configure(parser)`` and ``run(args) -> int``, one-line help)
KINDS = {
    "har": ("predict_har", "actions of every person"),
    "caption": ("predict_text", "a caption for every clip"),
    "vqa": ("predict_text", "an answer to every question"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="what", metavar="WHAT", required=True, dest="what")
    for name, (place, text) in KINDS.items():
        module = importlib.import_module(f"{__package__}.{place}")
        command = kinds.add_parser(name, help=text, description=text)
        module.configure(command)
        command.set_defaults(run=module.run)


def run(args: argparse.Namespace) -> int:
    return args.run(args)
