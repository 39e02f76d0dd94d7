"""``microg4m models …``: hands over to one small file per command."""

from __future__ import annotations

import argparse
import importlib

COMMANDS = {
    "list": "the models by name, with parameters and published scores",
    "info": "one model: parameters, GFLOPs, input shape, published scores",
    "convert": "PySlowFast checkpoint to a transformers folder, and back",
}


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"{__package__}.models_{name}")
        command = commands.add_parser(name, help=text, description=text)
        module.configure(command)
        command.set_defaults(run=module.run)


def run(args: argparse.Namespace) -> int:
    return args.run(args)
