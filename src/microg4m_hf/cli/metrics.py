"""``microg4m metrics push ORG``: push the ``evaluate`` modules to the Hub as Spaces."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    text = "push the evaluate modules to the Hub as Spaces"
    push = commands.add_parser("push", help=text, description=text)
    push.add_argument("namespace", metavar="ORG", help="your account or organization")
    push.add_argument("--folder", metavar="DIR", help="a folder with modules of your own (default: the built-in ones)")
    push.add_argument("--private", action="store_true", help="create new Spaces as private ones")


def run(args: argparse.Namespace) -> int:
    from ..metrics.spaces import MODULES, push_metrics

    for name in push_metrics(args.namespace, args.folder or MODULES, private=args.private):
        print(f'pushed: evaluate.load("{name}")')
    return 0
