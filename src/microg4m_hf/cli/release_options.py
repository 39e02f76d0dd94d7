"""The options with which ``microg4m data check``, ``stats`` and ``export-ava`` say which release they mean."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from ..errors import SourceError


def add_release_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", metavar="DIR", help="a local folder with the released files")
    parser.add_argument(
        "--source", metavar="NAME", help="'sample', 'hub' (the default without --data-dir) or a Hub repository"
    )
    parser.add_argument("--revision", metavar="REV", help="commit, tag or branch of the Hub repository")


def find_release(args: argparse.Namespace, *, texts: bool = True) -> Path:
    """The folder of the release; from the Hub with the files of all configs, but without clips."""
    from ..data.sources import resolve_root

    where = {"data_dir": args.data_dir, "source": args.source, "revision": args.revision, "videos": False}
    if texts and args.data_dir is None:
        with contextlib.suppress(SourceError):  # a repository without captions is still worth a look
            resolve_root("vqa", **where)
    return resolve_root("har", **where)
