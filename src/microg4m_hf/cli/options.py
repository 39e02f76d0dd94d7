"""Options that several commands share: which release, which references; and score tables for the terminal."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import PredictionError, RecipeError, SourceError
from ..visible import visible

if TYPE_CHECKING:
    from ..bench.references import Target
    from ..bench.runs import RunInfo


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


def add_turn_options(parser: Any, *more_poolings: str) -> None:
    """Add ``--turns``, ``--mirror`` and ``--turn-pooling``: the turns under which an action model is asked."""
    turns = "ask the model under 2 or 4 quarter turns of each clip, and pool its logits (default 1)"
    parser.add_argument("--turns", type=int, choices=(1, 2, 4), help=turns)
    parser.add_argument("--mirror", action="store_true", help="ask it about the mirror image of each turn as well")
    pooling = "how logits are pooled; lme is log-mean-exp" + ", auto the best on validation" * bool(more_poolings)
    choices = ("mean", "max", "lme", *more_poolings)
    parser.add_argument("--turn-pooling", choices=choices, help=f"{pooling} (default mean)")


def turns_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of ``training.recipe.Data`` that ``--turns``, ``--mirror`` and ``--turn-pooling`` set."""
    given = {"test_turns": args.turns, "test_mirror": args.mirror or None, "test_pooling": args.turn_pooling}
    return {name: value for name, value in given.items() if value is not None}


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
    source = "'sample', 'hub' or a Hub repository (default: that of the run, else hub)"
    add_release_options(parser, data_dir=folder, source=source)
    parser.add_argument("--scheme", help="official or source_disjoint (default: that of the run, else official)")
    parser.add_argument("--split", help="the split that was predicted (default: that of the run, else test)")


def add_interval_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-intervals``, and the former options of the bootstrap."""
    text = "leave the intervals out"
    parser.add_argument("--no-intervals", dest="resamples", action="store_const", const=0, default=1, help=text)
    add_former_bootstrap_options(parser)


def add_former_bootstrap_options(parser: argparse.ArgumentParser) -> None:
    """Accept ``--resamples`` and ``--seed``, which intervals needed when they were drawn at random."""
    parser.add_argument("--resamples", type=int, default=1, help=argparse.SUPPRESS)  # 0 means --no-intervals
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)


def find_run(path: str, task: str) -> RunInfo:
    """Return the run of a folder or a prediction file, which must be of the task.

    Raises:
        PredictionError: It cannot be scored.
    """
    from ..bench.runs import find_runs

    runs = find_runs([path], task=task)
    run = runs[0]
    if len(runs) > 1:
        raise PredictionError(f"{path} holds {len(runs)} runs; name one, such as {run.path}")
    if run.problem is not None:
        raise PredictionError(run.problem if path in run.problem else f"{path}: {run.problem}")
    if run.task != task:
        raise PredictionError(f"{path} is a {run.task} run; use this command with {run.task} instead of {task}")
    return run


def find_target(args: argparse.Namespace, *runs: RunInfo) -> Target:
    """Return the references that the options name, or else those that the runs record.

    Raises:
        RecipeError: The options contradict each other or a run, or the runs were made on different splits.
    """
    from ..bench.references import choose_target
    from ..bench.runs import RunInfo

    named = {name: getattr(args, name) for name in ("references", "split", "scheme")}
    read = runs or (RunInfo(args.what, Path("it"), task=args.what),)
    targets = [choose_target(run, **named, **release_of(args)) for run in read]
    for run, target in zip(runs, targets, strict=False):
        if target != targets[0]:
            raise RecipeError(
                f"{runs[0].path} was made on {targets[0].describe()}, and {run.path} on {target.describe()}; "
                "predict the same split with both, or name a --data-dir or --source that has the clips of both"
            )
    return targets[0]


class FoundReferences(NamedTuple):
    """References, where they are from, and which part of them the runs were asked for (empty for all)."""

    data: Any
    target: Target
    part: str = ""

    def describe(self) -> str:
        """Return what a reader of the scores must know about the references."""
        text = f"{self.target.describe()}{f', {self.part}' if self.part else ''}"
        return f"{text} ({self.target.assumed})" if self.target.assumed else text


def find_references(args: argparse.Namespace, *runs: RunInfo) -> FoundReferences:
    """Return the references of the items that all runs were asked for."""
    from ..bench.references import find_data, only_items

    target = find_target(args, *runs)
    data, part = only_items(find_data(target, runs[0] if runs else None), target, runs)
    return FoundReferences(data, target, part)


def find_domains(target: Target) -> dict[str, str] | None:
    """Return the domain of every clip, or ``None`` when the references are a file."""
    if target.file is not None:
        return None
    from ..data import read_release
    from ..data.sources import resolve_root

    clips = read_release(resolve_root(target.task, videos=False, **target.location), need=()).clips
    return dict(zip(clips["video_id"].to_pylist(), clips["domain"].to_pylist(), strict=True))


def find_training_counts(target: Target) -> dict[int, int] | None:
    """Return how often each action occurs in training, or ``None`` when the references are a file."""
    if target.file is not None:
        return None
    from ..data.references import training_label_counts

    return training_label_counts(scheme=target.scheme, **target.location)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format rows for the terminal: columns as wide as their widest cell, numbers to the right.

    >>> print(table(["", "map"], [["all", "46.41"]]))
         |   map
    -----|------
    all  | 46.41
    """
    head, *body = ([" ".join(visible(str(cell)).split()) for cell in row] for row in (head, *rows))
    widths = [max(len(row[place]) for row in [head, *body]) for place in range(len(head))]
    widths[0] += 2
    lines = []
    for row in [head, *body]:
        cells = [f"{row[0]:<{widths[0]}}"] + [
            f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        lines.append("| ".join(cells).rstrip())
    lines.insert(1, "|-".join("-" * width for width in widths))
    return "\n".join(lines)
