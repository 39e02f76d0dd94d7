"""``microg4m explore [RUN_OR_FILE…]``: browse clips with boxes, references and the predictions of runs."""

from __future__ import annotations

import argparse

from ..errors import RecipeError
from .options import add_run_options, release_of

HOST, PORT = "127.0.0.1", 7860


def configure(parser: argparse.ArgumentParser) -> None:
    add_run_options(parser, clips_for="to play them", source="the authors' repositories")
    schemes = ("official", "source_disjoint")
    parser.add_argument("--scheme", choices=schemes, default="official", help="the split scheme that is shown first")
    text = "folder of a report of these runs: it is served, too, and names link to their rows and back"
    parser.add_argument("--report", metavar="FOLDER", help=text)
    parser.add_argument("--no-clips", action="store_true", help="do not download the clips from the Hub (boxes only)")
    text = "address to serve on; 0.0.0.0 gives the network access (default: this machine only)"
    parser.add_argument("--host", default=HOST, help=text)
    parser.add_argument("--port", type=int, default=PORT, help="port to serve on; 0 for any free port (default: 7860)")
    parser.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")
    parser.add_argument("--export-space", metavar="FOLDER", help="only write a Hub Space with these runs")


def run(args: argparse.Namespace) -> int:
    shared = {"task": args.task, "scheme": args.scheme, "clips": not args.no_clips} | release_of(args)
    if args.export_space:
        from ..bench.explorer import export_space

        if (args.host, args.port, args.no_browser, args.report) != (HOST, PORT, False, None):
            raise RecipeError(
                "--host, --port, --no-browser and --report have no effect on a Space; leave them out with "
                "--export-space"
            )
        folder = export_space(args.export_space, args.runs, **shared)
        print(f"hf upload YOUR_NAME/microg4m-explorer {folder} --repo-type space")
        return 0
    from ..bench.explorer import explore

    explore(args.runs, report=args.report, host=args.host, port=args.port, browser=not args.no_browser, **shared)
    return 0
