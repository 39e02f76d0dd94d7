"""``microg4m data …``: the data set."""

from __future__ import annotations

import argparse

from .commands import add_commands

COMMANDS = {
    "sample": ("data_sample", "make the built-in sample and say where it is"),
    "check": ("data_check", "look for everything that is wrong in a release"),
    "stats": ("data_stats", "count clips, persons, labels, captions, questions and leaks"),
    "push": ("data_push", "publish the data set as a Hub repository"),
    "export-ava": ("data_export_ava", "write AVA-style key-frame CSV files"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    add_commands(parser, COMMANDS)


def run(args: argparse.Namespace) -> int:
    return args.run(args)
