"""``microg4m metrics push ORG``: the ``evaluate`` modules as Spaces on the Hub."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    text = "put the evaluate modules on the Hub as Spaces"
    push = commands.add_parser("push", help=text, description=text)
    push.add_argument("namespace", metavar="ORG", help="your account or organisation")
    push.add_argument("--folder", default="metrics", help="the folder with the modules (default: metrics)")
    push.add_argument("--private", action="store_true", help="make the Spaces private if they are made now")


def run(args: argparse.Namespace) -> int:
    from ..metrics.spaces import push_metrics

    for name in push_metrics(args.namespace, args.folder, private=args.private):
        print(f'pushed: evaluate.load("{name}")')
    return 0
