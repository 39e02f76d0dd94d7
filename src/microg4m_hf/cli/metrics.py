"""``microg4m metrics push ORG``: push the ``evaluate`` modules to the Hub as Spaces."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("namespace", metavar="ORG", help="your account or organization")
    text = "a folder with modules of your own (default: the built-in ones)"
    parser.add_argument("--folder", metavar="DIR", help=text)
    parser.add_argument("--private", action="store_true", help="create new Spaces as private ones")


def run(args: argparse.Namespace) -> int:
    from ..metrics.spaces import MODULES, push_metrics

    for name in push_metrics(args.namespace, args.folder or MODULES, private=args.private):
        print(f'pushed: evaluate.load("{name}")')
    return 0


COMMANDS = {"push": (configure, run, "push the evaluate modules to the Hub as Spaces")}
