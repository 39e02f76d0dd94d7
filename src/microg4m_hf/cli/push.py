"""``microg4m push RUN ORG/NAME``: push a finished run to the Hub, right after training or at any later time."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the folder of a run of `microg4m train har` or `microg4m train vlm`")
    parser.add_argument("repo", metavar="ORG/NAME", help="the model repository, created if it does not exist")
    parser.add_argument("--private", action="store_true", help="make a new repository private")


def run(args: argparse.Namespace) -> int:
    from ..training.push import push_run

    print(f"pushed to {push_run(args.run, args.repo, private=args.private)}")
    return 0
