"""``microg4m train har …``: the same as ``accelerate launch -m microg4m_hf.training.har`` on one process."""

from __future__ import annotations

import argparse

from ..training import har


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="models", metavar="KIND", required=True)
    text = "a video network that says what every person in a clip does"
    command = kinds.add_parser("har", help=text, description=text)
    har.configure(command)
    command.set_defaults(run=har.run)


def run(args: argparse.Namespace) -> int:
    return args.run(args)
