"""``microg4m data export-ava``: key frames as AVA-style CSV files."""

from __future__ import annotations

import argparse

from .release_options import add_release_options, find_release


def configure(parser: argparse.ArgumentParser) -> None:
    add_release_options(parser)
    parser.add_argument("--scheme", default="official", help="official (default) or source_disjoint")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the three files")


def run(args: argparse.Namespace) -> int:
    from ..data.export_ava import export_ava

    for name, rows in export_ava(find_release(args, texts=False), args.out, args.scheme).items():
        print(f"{args.out}/{name}: {rows} rows")
    return 0
