"""``microg4m push RUN ORG/NAME``: a finished run to the Hub, also long after it ended."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the run folder")
    parser.add_argument("repo", metavar="ORG/NAME", help="the model repository")
    parser.add_argument("--private", action="store_true", help="make the repository private if it is made now")


def run(args: argparse.Namespace) -> int:
    from ..training.push import push_run

    print(f"pushed to {push_run(args.run, args.repo, private=args.private)}")
    return 0
