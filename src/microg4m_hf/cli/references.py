"""Where the references of ``score`` and ``compare`` come from: a file, or the data set."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import RecipeError


def add_reference_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--references", metavar="FILE", help="a file with the truth; else the data set is read:")
    parser.add_argument(
        "--data-dir", metavar="DIR", help="a folder with the released annotation files (no clips needed)"
    )
    parser.add_argument("--source", help="'sample', 'hub' (default) or a Hub repository with the release")
    parser.add_argument("--revision", help="revision of the Hub repository that is read")
    parser.add_argument("--scheme", help="official or source_disjoint (har: official when not said)")
    parser.add_argument("--split", default="test", help="the split that was predicted (default: test)")


def find_references(args: argparse.Namespace) -> Any:
    """The file that was named; else for actions the released key-frame file of the split, else rows of the data set.

    The data set keeps each label once, the released files repeat some, and a repeated label counts twice in the
    published numbers: so the file is what ``protocol="paper"`` must read.
    """
    if args.references:
        given = [name for name in ("data_dir", "source", "revision", "scheme") if getattr(args, name) is not None]
        if given:
            raise RecipeError(f"--references and --{given[0].replace('_', '-')} both say where the truth is; give one")
        return args.references
    if args.what == "har" and args.scheme in (None, "official"):
        from ..data.release.layout import find_layout

        files = find_layout(_root(args))
        released = {"train": files.ava_train, "validation": files.ava_val, "test": files.ava_test}.get(args.split)
        if released is not None:
            return released
    return _rows(args, args.split)


def domains(args: argparse.Namespace) -> dict[str, str] | None:
    """Domain of every clip, where the data set is at hand."""
    if args.references:
        return None
    from ..data import read_release

    clips = read_release(_root(args), need=()).clips
    return dict(zip(clips["video_id"].to_pylist(), clips["domain"].to_pylist(), strict=True))


def training_counts(args: argparse.Namespace) -> dict[int, int] | None:
    """How often each action occurs in training, where the data set is at hand: what head and tail mean."""
    if args.references:
        return None
    from ..taxonomy import ACTION_IDS

    counts = dict.fromkeys(ACTION_IDS, 0)
    for row in _rows(args, "train"):
        for person in row["persons"]:
            for label in person["actions"]:
                counts[ACTION_IDS[label]] += 1
    return counts


def _root(args: argparse.Namespace) -> Any:
    from ..data.sources import resolve_root

    where = {"data_dir": args.data_dir, "source": args.source, "revision": args.revision}
    return resolve_root(args.what, videos=False, **where)


def _rows(args: argparse.Namespace, split: str) -> Any:
    from ..data import load_dataset

    scheme = {"scheme": args.scheme} if args.scheme else {}
    where = {"data_dir": args.data_dir, "source": args.source, "revision": args.revision}
    return load_dataset(args.what, split=split, videos=False, **where, **scheme)
