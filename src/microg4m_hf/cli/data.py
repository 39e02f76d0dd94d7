"""``microg4m data …``: hands over to one small file per command."""

from __future__ import annotations

import argparse
import importlib

# command -> one-line help; the code of ``microg4m data export-ava`` is in ``data_export_ava.py``
COMMANDS = {
    "sample": "make the built-in sample and say where it is",
    "check": "look for everything that is wrong in a release",
    "stats": "count clips, persons, labels, captions, questions and leaks",
    "push": "publish the data set as a Hub repository",
    "export-ava": "write AVA-style key-frame CSV files",
}


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"{__package__}.data_{name.replace('-', '_')}")
        command = commands.add_parser(name, help=text, description=text)
        module.configure(command)
        command.set_defaults(run=module.run)


def run(args: argparse.Namespace) -> int:
    return args.run(args)
