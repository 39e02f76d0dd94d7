"""``microg4m explore [RUN_OR_FILE…]``: browse clips with boxes, references and what runs say of them."""

from __future__ import annotations

import argparse

from ..errors import RecipeError

HOST, PORT = "127.0.0.1", 7860


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="RUN_OR_FILE", help="run folders, prediction files, or NAME=PATH")
    parser.add_argument("--data-dir", metavar="DIR", help="a folder with the released files; with clips to play them")
    parser.add_argument("--source", help="'sample', or a Hub repository with the release (default: the authors')")
    parser.add_argument("--revision", help="revision of the Hub repository that is read")
    parser.add_argument("--scheme", choices=("official", "source_disjoint"), default="official", help="shown first")
    parser.add_argument("--task", choices=("har", "caption", "vqa"), help="for files that do not show what they hold")
    parser.add_argument("--no-clips", action="store_true", help="do not fetch the clips from the Hub (boxes only)")
    parser.add_argument("--host", default=HOST, help="who may look: 0.0.0.0 for the network (default: only you)")
    parser.add_argument("--port", type=int, default=PORT, help="(default: 7860; 0 for any that is free)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser, only print the address")
    parser.add_argument("--export-space", metavar="FOLDER", help="write a Hub Space with these runs, and nothing else")


def run(args: argparse.Namespace) -> int:
    where = {name: getattr(args, name) for name in ("data_dir", "source", "revision")}
    if args.export_space:
        from ..bench.explorer import export_space

        if (args.host, args.port, args.no_browser) != (HOST, PORT, False):
            raise RecipeError(
                "--host, --port and --no-browser are for a page on this machine; leave them out of a Space"
            )
        words = {"task": args.task, "scheme": args.scheme, "clips": not args.no_clips}
        folder = export_space(args.export_space, args.runs, **words, **where)
        print(f"hf upload YOUR_NAME/microg4m-explorer {folder} --repo-type space")
        return 0
    from ..bench.explorer import explore

    explore(
        args.runs,
        **where,
        scheme=args.scheme,
        task=args.task,
        clips=not args.no_clips,
        host=args.host,
        port=args.port,
        browser=not args.no_browser,
    )
    return 0
