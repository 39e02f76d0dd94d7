"""``microg4m compare har|caption|vqa A B``: print which differences between two systems are significant."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

from ..bench.render.formatting import percent
from .options import add_reference_options, find_references, table


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("har", "caption", "vqa"), help="the task")
    parser.add_argument("first", help="prediction file of one system")
    parser.add_argument("second", help="prediction file of the other system")
    add_reference_options(parser)
    parser.add_argument("--protocol", default="paper", help="paper, or instance (har), or coco (caption, vqa)")
    parser.add_argument("--on-empty", choices=("error", "score"), default="error", help="for texts without a word")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples of films")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", metavar="FILE", help="write the whole result as JSON")


def run(args: argparse.Namespace) -> int:
    references = find_references(args)
    names = _short_names(args.first, args.second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `score` prints the notes on each system
        result = _compare(args, references, names)
    rows = []
    for score, entry in result["scores"].items():
        low, high = entry["interval"]
        values = [percent(entry[name]) for name in names]
        interval = f"{100 * low:+.2f} to {100 * high:+.2f}"
        real = "real" if entry["real"] else ""
        rows.append(
            [score, *values, f"{100 * entry['difference']:+.2f}", interval, f"{entry['p_corrected']:.3f}", real]
        )
    print(table(["× 100", *names, "difference", "95 % by film", "p (Holm)", ""], rows))
    if args.output:
        from ..metrics.results import write_result

        write_result(args.output, result)
        print(f"written to {args.output}")
    return 0


def _compare(args: argparse.Namespace, references: Any, names: tuple[str, str]) -> dict[str, Any]:
    from .. import metrics

    options: dict[str, Any] = {"resamples": args.resamples, "seed": args.seed, "names": names}
    if args.what == "har":
        return metrics.compare(args.first, args.second, references, protocol=args.protocol, **options)
    score = metrics.caption_scores if args.what == "caption" else metrics.vqa_scores
    how: dict[str, Any] = {"protocol": args.protocol, "on_empty": args.on_empty, "resamples": 0}
    return metrics.compare_texts(*(score(path, references, **how) for path in (args.first, args.second)), **options)


def _short_names(first: str, second: str) -> tuple[str, str]:
    """Name two files by their stems, or by their folders when the stems are equal."""
    for names in ((Path(first).stem, Path(second).stem), (Path(first).parent.name, Path(second).parent.name)):
        if names[0] and names[1] and names[0] != names[1]:
            return names
    return "first", "second"
