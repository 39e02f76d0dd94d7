"""``microg4m compare har|caption|vqa A B``: print which differences between two systems are significant."""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING, Any

from ..bench.render.formatting import BASELINE_NOTE, p_text, percent
from ..errors import RecipeError
from .options import (
    FoundReferences,
    add_former_bootstrap_options,
    add_reference_options,
    find_references,
    find_run,
    table,
)

if TYPE_CHECKING:
    from ..bench.runs import RunInfo

MISSING_HELP = "for items without a prediction (default: zero; the note below the table counts them)"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("har", "caption", "vqa"), help="the task")
    parser.add_argument("first", help="run folder or prediction file of one system")
    parser.add_argument("second", help="run folder or prediction file of the other system")
    add_reference_options(parser)
    parser.add_argument("--protocol", default="paper", help="paper, or instance (har), or coco (caption, vqa)")
    parser.add_argument("--missing", choices=("zero", "drop", "error"), default="zero", help=MISSING_HELP)
    parser.add_argument("--on-empty", choices=("score", "error"), help="for texts without a word (default: score)")
    add_former_bootstrap_options(parser)
    parser.add_argument("--output", metavar="FILE", help="write the whole result as JSON")


def run(args: argparse.Namespace) -> int:
    runs = [find_run(path, args.what) for path in (args.first, args.second)]
    references = find_references(args, *runs)
    names = _short_names(*runs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `score` prints the notes on each system
        compare = _compare_har if args.what == "har" else _compare_texts
        result, notes = compare(args, runs, references, names)
    ties = {name: found["map_range"] for name, found in result.get("ties", {}).items() if found["matters"]}
    rows = []
    for score, entry in result["scores"].items():
        interval = "–"
        if entry["interval"] is not None:
            low, high = entry["interval"]
            interval = f"{100 * low:+.2f} to {100 * high:+.2f}"
        values = [f"{percent(entry[name])}{'†' if score == 'map' and ties.get(name) else ''}" for name in names]
        p_values = [p_text(entry["p"]), p_text(entry["p_corrected"])]
        real = "real" if entry["real"] else ""
        rows.append([score, *values, f"{100 * entry['difference']:+.2f}", interval, *p_values, real])
    heads = [f"{name} (baseline)" if run.is_baseline else name for name, run in zip(names, runs, strict=True)]
    print(table(["× 100", *heads, "difference", "95 % by film", "p", "p (Holm)", ""], rows))
    for name, (low, high) in ties.items():
        print(f"† {name}: between {percent(low)} and {percent(high)} over all orders of equal scores")
    print(f"\nreferences: {references.describe()}")
    reasons = dict.fromkeys(entry["why_not"] for entry in result["scores"].values() if "why_not" in entry)
    notes += [f"no interval and no verdict: {reason}" for reason in reasons]
    if any(run.is_baseline for run in runs):
        notes.append(BASELINE_NOTE)
    for note in notes:
        print(f"note: {note}")
    if args.output:
        from ..metrics.results import write_result

        write_result(args.output, result)
        print(f"written to {args.output}")
    return 0


def _compare_har(
    args: argparse.Namespace, runs: list[RunInfo], references: FoundReferences, names: tuple[str, str]
) -> tuple[dict[str, Any], list[str]]:
    from ..bench.scoring import readable_actions
    from ..metrics import compare

    if args.on_empty is not None:
        raise RecipeError(f"--on-empty {args.on_empty} is about texts; remove it to compare actions")
    options = {"protocol": args.protocol, "seed": args.seed, "missing": args.missing}
    options["unknown"] = _unknown(references)
    first, second = (readable_actions(run.predictions) for run in runs if run.predictions is not None)
    result = compare(first, second, references.data, names=names, **options)
    missing = [result["counts"][name]["missing"] for name in names]
    return result, _notes(names, missing, [0, 0], args.missing, "labeled boxes")


def _compare_texts(
    args: argparse.Namespace, runs: list[RunInfo], references: FoundReferences, names: tuple[str, str]
) -> tuple[dict[str, Any], list[str]]:
    from ..metrics import caption_scores, compare_texts, vqa_scores

    score = caption_scores if args.what == "caption" else vqa_scores
    options: dict[str, Any] = {"protocol": args.protocol, "missing": args.missing, "on_empty": args.on_empty or "score"}
    options["unknown"] = _unknown(references)
    results = [score(run.predictions, references.data, **options, resamples=0) for run in runs]
    counts = [result["counts"] for result in results]
    notes = _notes(names, [one["missing"] for one in counts], [one["empty"] for one in counts], args.missing, "items")
    return compare_texts(*results, names=names), notes


def _unknown(references: FoundReferences) -> str:
    """Where two runs share only a part of their items, each has predictions that are not compared."""
    return "drop" if references.part else "error"


def _notes(names: tuple[str, str], missing: list[int], empty: list[int], policy: str, unit: str) -> list[str]:
    """Tell predictions that are missing from those that are empty."""
    outcome = "are left out" if policy == "drop" else "count as zero"
    notes = [
        f"{name}: {count} {unit} have no prediction and {outcome}"
        for name, count in zip(names, missing, strict=True)
        if count
    ]
    texts = "predictions are empty texts and are scored as they are"
    return notes + [f"{name}: {count} {texts}" for name, count in zip(names, empty, strict=True) if count]


def _short_names(first: RunInfo, second: RunInfo) -> tuple[str, str]:
    """Name two runs by their files without suffix, or by their folders when these names are equal."""
    for names in ((first.name, second.name), (first.path.parent.name, second.path.parent.name)):
        if names[0] and names[1] and names[0] != names[1]:
            return names
    return "first", "second"
