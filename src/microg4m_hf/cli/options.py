"""The options with which ``microg4m data check``, ``stats`` and ``export-ava`` say which release they mean."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import RecipeError, SourceError

Configure = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], int]


def add_commands(
    parser: argparse.ArgumentParser, commands: Mapping[str, tuple[Configure, Run, str]], *, title: str = "commands"
) -> None:
    """Add subcommands to a group; the name that was typed is in ``args.what``.

    Args:
        parser: The parser of the group.
        commands: For each name, a function that adds the options, a function that runs the command, and its help.
        title: What ``--help`` calls the commands.
    """
    parsers = parser.add_subparsers(title=title, metavar=title.rstrip("s").upper(), required=True, dest="what")
    for name, (configure, run, text) in commands.items():
        command = parsers.add_parser(name, help=text, description=text)
        configure(command)
        command.set_defaults(run=run)


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


# Where the references of ``score`` and ``compare`` come from: a file, or the data set.


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


# Scores as aligned lines for people.


def percent(value: float | None) -> str:
    """A fraction as the tables print it.

    >>> percent(0.46413), percent(float("nan"))
    ('46.41', '–')
    """
    return "–" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns aligned by their widest cell, numbers to the right.

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
