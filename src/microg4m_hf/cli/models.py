"""``microg4m models …``: the networks."""

from __future__ import annotations

import argparse

from .commands import add_commands

COMMANDS = {
    "list": ("models_list", "the models by name, with parameters and published scores"),
    "info": ("models_info", "one model: parameters, GFLOPs, input shape, published scores"),
    "convert": ("models_convert", "PySlowFast checkpoint to a transformers folder, and back"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    add_commands(parser, COMMANDS)


def run(args: argparse.Namespace) -> int:
    return args.run(args)
