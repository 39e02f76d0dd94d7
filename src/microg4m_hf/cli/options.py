"""Options that several commands share: which release, which references; and score tables for the terminal."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import RecipeError, SourceError


def add_release_options(
    parser: argparse.ArgumentParser,
    *,
    data_dir: str = "a local folder with the released files",
    source: str = "'sample', 'hub' (the default without --data-dir) or a Hub repository",
) -> None:
    """Add ``--data-dir``, ``--source`` and ``--revision``; the first two with the help that a command gives."""
    parser.add_argument("--data-dir", metavar="DIR", help=data_dir)
    parser.add_argument("--source", help=source)
    parser.add_argument("--revision", help="commit, tag or branch of the Hub repository")


def find_release(args: argparse.Namespace, *, texts: bool = True) -> Path:
    """Return the folder of the release; from the Hub with the files of all configs, but without clips."""
    from ..data.sources import resolve_root

    where = release_of(args)
    if texts and args.data_dir is None:
        with contextlib.suppress(SourceError):  # a repository without captions is still useful
            resolve_root("vqa", videos=False, **where)
    return resolve_root("har", videos=False, **where)


def release_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the release that ``--data-dir``, ``--source`` and ``--revision`` name, as keywords of ``load_dataset``."""
    return {name: getattr(args, name) for name in ("data_dir", "source", "revision")}


def add_run_options(parser: argparse.ArgumentParser, *, clips_for: str, source: str) -> None:
    """Add the runs of ``report`` and ``explore``, and the options that name their dataset."""
    parser.add_argument("runs", nargs="*", metavar="RUN_OR_FILE", help="run folders, prediction files, or NAME=PATH")
    folder = f"a folder with the released files (and clips, {clips_for})"
    add_release_options(parser, data_dir=folder, source=f"'sample' or a Hub repository (default: {source})")
    text = "the task of files whose entries do not show it"
    parser.add_argument("--task", choices=("har", "caption", "vqa"), help=text)


def add_reference_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--references``, or the options that name a release, a scheme and a split."""
    parser.add_argument("--references", metavar="FILE", help="a file with the references (default: the dataset)")
    folder = "a folder with the released annotation files (no clips needed)"
    source = "'sample', 'hub' (default) or a Hub repository with the release"
    add_release_options(parser, data_dir=folder, source=source)
    parser.add_argument("--scheme", help="official or source_disjoint (default for har: official)")
    parser.add_argument("--split", default="test", help="the split that was predicted (default: test)")


def find_references(args: argparse.Namespace) -> Any:
    """Return the file of ``--references``, or the references of the split that the other options name."""
    if args.references:
        others = [name for name in ("data_dir", "source", "revision", "scheme") if getattr(args, name) is not None]
        if others:
            raise RecipeError(
                f"--references and --{others[0].replace('_', '-')} both name the references; leave one of them out"
            )
        return args.references
    from ..data import references

    return references.find_references(args.what, args.split, scheme=args.scheme, **release_of(args))


def find_domains(args: argparse.Namespace) -> dict[str, str] | None:
    """Return the domain of every clip, or ``None`` when the references are a file."""
    if args.references:
        return None
    from ..data import read_release
    from ..data.sources import resolve_root

    clips = read_release(resolve_root(args.what, videos=False, **release_of(args)), need=()).clips
    return dict(zip(clips["video_id"].to_pylist(), clips["domain"].to_pylist(), strict=True))


def find_training_counts(args: argparse.Namespace) -> dict[int, int] | None:
    """Return how often each action occurs in training, or ``None`` when the references are a file."""
    if args.references:
        return None
    from ..data.references import training_label_counts

    return training_label_counts(scheme=args.scheme, **release_of(args))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format rows for the terminal: columns as wide as their widest cell, numbers to the right.

    >>> print(table(["", "map"], [["all", "46.41"]]))
         |   map
    -----|------
    all  | 46.41
    """
    body = [list(row) for row in rows]
    widths = [max(len(str(row[place])) for row in [head, *body]) for place in range(len(head))]
    widths[0] += 2
    lines = []
    for row in [head, *body]:
        cells = [f"{row[0]:<{widths[0]}}"] + [
            f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        lines.append("| ".join(cells).rstrip())
    lines.insert(1, "|-".join("-" * width for width in widths))
    return "\n".join(lines)
