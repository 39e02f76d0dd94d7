"""``microg4m data sample``: make the built-in sample and say where it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import SourceError
from ..storage import folder_in_one_step


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder for it (default: the cache)")
    parser.add_argument("--lying", action="store_true", help="people only stand or lie asleep, for `microg4m gap`")
    parser.add_argument("--upright", action="store_true", help="nobody is turned, as if there were gravity")


def run(args: argparse.Namespace) -> int:
    from ..data.sample import ensure_sample, make_sample

    if args.out is None:
        if args.lying or args.upright:
            raise SourceError("--lying and --upright draw another sample than the built-in one; say where with --out")
        folder = ensure_sample()
    else:
        folder = args.out
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise SourceError(f"{folder} is already there; nothing is overwritten, give a new folder with --out")
        with folder_in_one_step(folder) as scratch:
            make_sample(scratch, lying=args.lying, upright=args.upright)
    clips = list(folder.glob("videos/*/*/*.mp4"))
    size = sum(path.stat().st_size for path in clips)
    print(f"{len(clips)} clips ({size / 1e6:.1f} MB) in the released layout: {folder}")
    return 0
