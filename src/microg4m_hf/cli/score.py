"""``microg4m score har|caption|vqa --predictions FILE``: print the scores with their signature and intervals."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from ..bench.render.formatting import BASELINE_NOTE, percent
from ..errors import MicroG4MError
from ..metrics.jackknife import MIN_SOURCES
from .options import (
    FoundReferences,
    add_interval_options,
    add_reference_options,
    find_domains,
    find_references,
    find_run,
    find_training_counts,
    table,
)


def configure(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(title="what", metavar="WHAT", required=True, dest="what")
    har = tasks.add_parser("har", help="actions: mAP, F1, recall, precision, AUROC")
    text = "paper: as published (default); instance: each person against their own labels"
    har.add_argument("--protocol", choices=("paper", "instance"), default="paper", help=text)
    har.add_argument("--threshold", type=float, help="score from which an action counts as predicted (paper: 0.5)")
    parts, text = ("domain", "group", "frequency", "source"), "score these parts as well; may be repeated"
    har.add_argument("--by", action="append", default=[], choices=parts, help=text)
    har.add_argument("--classes", type=int, choices=(50, 80), help="80 for AVA's classes (default: as predicted)")
    har.add_argument("--scores-are", choices=("logits", "probabilities"), help="default: as the file or the scores say")
    har.add_argument("--per-class", action="store_true", help="print the average precision of every action")
    for name in ("caption", "vqa"):
        texts = tasks.add_parser(name, help="BLEU, CIDEr, ROUGE-L and other metrics on request")
        text = "paper: raw strings, as published (default); coco: Treebank tokens"
        texts.add_argument("--protocol", choices=("paper", "coco"), default="paper", help=text)
        texts.add_argument("--metrics", default="bleu,cider,rouge_l", help="names with commas, e.g. bleu,cider,sbert")
        texts.add_argument("--encoder", help="sentence encoder: a folder or a Hub id (id@revision)")
        text = "bfloat16 is faster on new processors, moves similarities by up to 0.005, and is in the signature"
        texts.add_argument("--encoder-dtype", choices=("float32", "bfloat16"), default="float32", help=text)
        texts.add_argument("--bert-model", help="BERTScore model: a folder or a Hub id (id@revision)")
        texts.add_argument("--on-empty", choices=("error", "score"), default="error", help="for texts without a word")
        texts.add_argument("--by", action="append", default=[], choices=("source",), help="score every film as well")
    for command in tasks.choices.values():
        command.add_argument("--predictions", required=True, metavar="RUN_OR_FILE", help="a run folder or a file")
        add_reference_options(command)
        text = "items without a prediction: an error (default), not predicted, or left out"
        command.add_argument("--missing", choices=("error", "zero", "drop"), default="error", help=text)
        text = "predictions for clips that are not in the references: an error (default), or left out"
        command.add_argument("--unknown", choices=("error", "drop"), default="error", help=text)
        add_interval_options(command)
        command.add_argument("--output", metavar="FILE", help="write the whole result as JSON")


def run(args: argparse.Namespace) -> int:
    scored = find_run(args.predictions, args.what)
    references = find_references(args, scored)
    args.predictions = scored.predictions
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = (_score_har if args.what == "har" else _score_texts)(args, references)
    print(_score_table(result))
    for kind, groups in result.get("by", {}).items():
        print(f"\n{_group_table(kind, groups)}")
    if getattr(args, "per_class", False):
        print(f"\n{_class_table(result)}")
    if result.get("ties"):
        low, high = result["ties"]["map_range"]
        print(f"\nmAP between {percent(low)} and {percent(high)} over all orders of equal scores")
    if any(edges is None for edges in result.get("intervals", {}).values()):
        print(f"\nno interval (–): it needs at least {MIN_SOURCES} films")
    print(f"\n{result['signature']}\nreferences: {references.describe()}")
    notes = [BASELINE_NOTE] if scored.is_baseline else []
    notes += [*result.get("warnings", []), *(str(warning.message) for warning in caught)]
    for note in dict.fromkeys(notes):
        print(f"note: {note}")
    if args.output:
        from ..metrics.results import write_result

        write_result(args.output, result | {"references": references.describe()})
        print(f"written to {args.output}")
    return 0


def _score_har(args: argparse.Namespace, references: FoundReferences) -> dict[str, Any]:
    from ..bench.scoring import readable_actions
    from ..metrics import har_scores

    counts = find_training_counts(references.target) if "frequency" in args.by else None
    how = {"classes": args.classes, "scores_are": args.scores_are}
    options = {"threshold": args.threshold, "class_counts": counts, **how, **_shared_options(args)}
    if "domain" in args.by:
        options["domains"] = find_domains(references.target)
    return har_scores(readable_actions(args.predictions), references.data, **options)


def _score_texts(args: argparse.Namespace, references: FoundReferences) -> dict[str, Any]:
    from ..metrics import SentenceEncoder, caption_scores, vqa_scores

    score = caption_scores if args.what == "caption" else vqa_scores
    metrics = [name.strip() for name in args.metrics.split(",") if name.strip()]
    encoder = args.encoder
    if args.encoder_dtype != "float32":
        if {"sbert", "svqa"}.isdisjoint(metrics):
            raise MicroG4MError(
                f"--encoder-dtype {args.encoder_dtype} without a metric that uses the sentence encoder; add sbert or "
                "svqa to --metrics, or leave the option out"
            )
        encoder = SentenceEncoder(encoder, dtype=args.encoder_dtype)
    options = {"metrics": metrics, "on_empty": args.on_empty, "encoder": encoder, "bert_model": args.bert_model}
    return score(args.predictions, references.data, **options, **_shared_options(args))


def _shared_options(args: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(args, name) for name in ("protocol", "missing", "unknown", "by", "resamples", "seed")}


def _score_table(result: dict[str, Any]) -> str:
    intervals, ties = result.get("intervals", {}), result.get("ties", {})
    rows = []
    for name, value in result["scores"].items():
        row = [name, percent(value)]
        if intervals:
            row.append(_range(intervals[name]))
        if ties.get("matters"):
            row.append(_range(ties["map_range"]) if name == "map" else "")
        rows.append(row)
    head = ["", "× 100"]
    head += ["95 % by film"] if intervals else []
    head += ["by order of ties"] if ties.get("matters") else []
    return table(head, rows)


def _range(edges: list[float] | None) -> str:
    return "–" if edges is None else f"{percent(edges[0])} to {percent(edges[1])}"


def _group_table(kind: str, groups: dict[str, Any]) -> str:
    # With missing="drop" or "zero", a film without any prediction has no scores.
    scores = {name: group["scores"] or {} for name, group in groups.items()}
    columns = list(dict.fromkeys(key for values in scores.values() for key in values))
    rows = [[str(name), *(percent(values.get(key)) for key in columns)] for name, values in scores.items()]
    return table([f"by {kind}", *columns], rows)


def _class_table(result: dict[str, Any]) -> str:
    from ..taxonomy import ACTIONS

    per_class = result["per_class"]
    return table(["action", "AP"], [[action.name, percent(per_class[action.action_id]["ap"])] for action in ACTIONS])
