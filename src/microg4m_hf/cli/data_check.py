"""``microg4m data check``: everything that is wrong in a release; exit code 0 if nothing is, else 1."""

from __future__ import annotations

import argparse
import json

from .release_options import add_release_options, find_release

SHOWN = 50


def configure(parser: argparse.ArgumentParser) -> None:
    add_release_options(parser)
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")


def run(args: argparse.Namespace) -> int:
    from ..data.check import check

    report = check(find_release(args))
    if args.json:
        print(json.dumps(report, indent=2, default=str))
    else:
        for problem in report["problems"][:SHOWN]:
            print(" ".join(problem["text"].split()))
        if report["faults"] > SHOWN:
            print(f"… and {report['faults'] - SHOWN} more; --json lists them")
        for note in report["notes"]:
            print(f"note: {note}")
        print(f"{report['root']}: {report['faults'] or 'no'} fault{'' if report['faults'] == 1 else 's'}")
    return 1 if report["faults"] else 0
