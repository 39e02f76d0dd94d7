"""``microg4m compare A B``: which differences between two systems are real."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

from ..bench.render.formatting import percent
from .options import add_reference_options, find_references, table


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("har", "caption", "vqa"), help="what was predicted")
    parser.add_argument("first", help="prediction file of one system")
    parser.add_argument("second", help="prediction file of the other system")
    add_reference_options(parser)
    parser.add_argument("--protocol", default="paper", help="paper, or instance (har), or coco (texts)")
    parser.add_argument("--on-empty", choices=("error", "score"), default="error", help="of texts that say nothing")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", metavar="FILE", help="write everything as JSON")


def run(args: argparse.Namespace) -> int:
    references = find_references(args)
    names = _names(args.first, args.second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # notes on single systems are printed by `score`
        result = _har(args, references, names) if args.what == "har" else _texts(args, references, names)
    rows = []
    for score, entry in result["scores"].items():
        low, high = entry["interval"]
        rows.append(
            [
                score,
                percent(entry[names[0]]),
                percent(entry[names[1]]),
                f"{100 * entry['difference']:+.2f}",
                f"{100 * low:+.2f} to {100 * high:+.2f}",
                f"{entry['p_corrected']:.3f}",
                "real" if entry["real"] else "",
            ]
        )
    print(table(["× 100", *names, "difference", "95 % by film", "p (Holm)", ""], rows))
    if args.output:
        from ..metrics.results import write_result

        write_result(args.output, result)
        print(f"written to {args.output}")
    return 0


def _har(args: argparse.Namespace, references: Any, names: tuple[str, str]) -> dict[str, Any]:
    from ..metrics import compare

    options = {"protocol": args.protocol, "resamples": args.resamples, "seed": args.seed}
    return compare(args.first, args.second, references, names=names, **options)


def _texts(args: argparse.Namespace, references: Any, names: tuple[str, str]) -> dict[str, Any]:
    from ..metrics import caption_scores, compare_texts, vqa_scores

    score = caption_scores if args.what == "caption" else vqa_scores
    options: dict[str, Any] = {"protocol": args.protocol, "on_empty": args.on_empty, "resamples": 0}
    results = [score(one, references, **options) for one in (args.first, args.second)]
    return compare_texts(*results, resamples=args.resamples, seed=args.seed, names=names)


def _names(first: str, second: str) -> tuple[str, str]:
    """Short names of two files: their stems, their folders when the stems are equal."""
    for pick in (lambda path: path.stem, lambda path: path.parent.name):
        pair = pick(Path(first)), pick(Path(second))
        if pair[0] and pair[1] and pair[0] != pair[1]:
            return pair
    return "first", "second"
