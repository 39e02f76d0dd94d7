"""The commands of a group: one small file each, handed over to by name."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping


def add_commands(
    parser: argparse.ArgumentParser, commands: Mapping[str, tuple[str, str]], *, title: str = "commands"
) -> None:
    """Add ``name -> (module, help)``; a module has ``configure(parser)`` and ``run(args) -> int``.

    The name that was typed is in ``args.what``.
    """
    parsers = parser.add_subparsers(title=title, metavar=title.rstrip("s").upper(), required=True, dest="what")
    for name, (place, text) in commands.items():
        module = importlib.import_module(f"{__package__}.{place}")
        command = parsers.add_parser(name, help=text, description=text)
        module.configure(command)
        command.set_defaults(run=module.run)
