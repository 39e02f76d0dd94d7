"""``microg4m train har|vlm …``: fine-tuning; ``train har`` is ``microg4m_hf.training.har`` on one process."""

from __future__ import annotations

import argparse

from ..training import har
from . import train_vlm


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="models", metavar="KIND", required=True)
    text = "a video network that says what every person in a clip does"
    command = kinds.add_parser("har", help=text, description=text)
    har.configure(command)
    command.set_defaults(run=har.run)
    text = "a LoRA adapter of a vision-language model, on captions and answers"
    command = kinds.add_parser("vlm", help=text, description=text)
    train_vlm.configure(command)
    command.set_defaults(run=train_vlm.run)


def run(args: argparse.Namespace) -> int:
    return args.run(args)
