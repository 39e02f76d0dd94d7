"""``microg4m train har|vlm``: fine-tuning on one process, as ``python -m microg4m_hf.training.har`` and ``.vlm``."""

from __future__ import annotations

import argparse

from ..training import har, vlm
from .options import add_commands

COMMANDS = {
    "har": (har.configure, har.run, "a video network that predicts what every person in a clip is doing"),
    "vlm": (vlm.configure, vlm.run, "a LoRA adapter of a vision-language model, on captions and answers"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    add_commands(parser, COMMANDS)


def run(args: argparse.Namespace) -> int:
    return args.run(args)
