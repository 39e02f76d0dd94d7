"""``microg4m score har|caption|vqa --predictions FILE``: the benchmark's scores with their recipe and intervals."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from ..bench.render.formatting import percent
from .options import add_reference_options, find_domains, find_references, find_training_counts, table

_TEXT_METRICS = ("bleu", "cider", "rouge_l")


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="what", metavar="WHAT", required=True, dest="what")
    har = kinds.add_parser("har", help="actions: mAP, F1, recall, precision, AUROC")
    har.add_argument("--protocol", choices=("paper", "instance"), default="paper")
    har.add_argument("--threshold", type=float, help="when a class counts as predicted (paper: raw score, 0.5)")
    har.add_argument("--by", action="append", default=[], choices=("domain", "group", "frequency", "source"))
    har.add_argument("--per-class", action="store_true", help="print the average precision of every action")
    for name in ("caption", "vqa"):
        texts = kinds.add_parser(name, help="BLEU, CIDEr, ROUGE-L and what --metrics names")
        texts.add_argument("--protocol", choices=("paper", "coco"), default="paper")
        texts.add_argument(
            "--metrics", default=",".join(_TEXT_METRICS), help="names with commas, e.g. bleu,cider,sbert"
        )
        texts.add_argument("--encoder", help="sentence encoder: a folder or a Hub id (id@revision)")
        texts.add_argument("--bert-model", help="BERTScore model: a folder or a Hub id (id@revision)")
        texts.add_argument("--on-empty", choices=("error", "score"), default="error")
        texts.add_argument("--by", action="append", default=[], choices=("source",))
    for command in kinds.choices.values():
        command.add_argument("--predictions", required=True, metavar="FILE")
        add_reference_options(command)
        command.add_argument("--missing", choices=("error", "zero", "drop"), default="error")
        command.add_argument("--unknown", choices=("error", "drop"), default="error")
        command.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples of films; 0 for none")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--output", metavar="FILE", help="write everything as JSON")


def run(args: argparse.Namespace) -> int:
    references = find_references(args)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = _har(args, references) if args.what == "har" else _texts(args, references)
    print(_main_table(result))
    for part, entries in result.get("by", {}).items():
        print(f"\n{_part_table(part, entries)}")
    if getattr(args, "per_class", False):
        print(f"\n{_class_table(result)}")
    ties = result.get("ties", {})
    if ties:
        low, high = ties["map_range"]
        print(f"\nmAP between {percent(low)} and {percent(high)} over all orders of equal scores")
    print(f"\n{result['signature']}")
    for note in dict.fromkeys([*result.get("warnings", []), *(str(one.message) for one in caught)]):
        print(f"note: {note}")
    if args.output:
        from ..metrics.results import write_result

        write_result(args.output, result)
        print(f"written to {args.output}")
    return 0


def _common(args: argparse.Namespace) -> dict[str, Any]:
    names = ("protocol", "missing", "unknown", "by", "resamples", "seed")
    return {name: getattr(args, name) for name in names}


def _har(args: argparse.Namespace, references: Any) -> dict[str, Any]:
    from ..metrics import har_scores

    counts = find_training_counts(args) if "frequency" in args.by else None
    options = {"threshold": args.threshold, "class_counts": counts, **_common(args)}
    if "domain" in args.by:
        options["domains"] = find_domains(args)
    return har_scores(args.predictions, references, **options)


def _texts(args: argparse.Namespace, references: Any) -> dict[str, Any]:
    from ..metrics import caption_scores, vqa_scores

    score = caption_scores if args.what == "caption" else vqa_scores
    metrics = [name.strip() for name in args.metrics.split(",") if name.strip()]
    models = {"encoder": args.encoder, "bert_model": args.bert_model}
    return score(args.predictions, references, metrics=metrics, on_empty=args.on_empty, **models, **_common(args))


def _main_table(result: dict[str, Any]) -> str:
    intervals = result.get("intervals", {})
    rows = []
    for name, value in result["scores"].items():
        low, high = intervals.get(name) or (None, None)
        between = f"{percent(low)} to {percent(high)}" if low is not None else ""
        rows.append([name, percent(value), between])
    return table(["", "× 100", "95 % by film" if intervals else ""], rows)


def _part_table(part: str, entries: dict[str, Any]) -> str:
    # A film without any prediction has no scores, with missing="drop" or "zero".
    scores = {name: entry["scores"] or {} for name, entry in entries.items()}
    names = list(dict.fromkeys(key for known in scores.values() for key in known))
    rows = [[str(name), *(percent(known.get(key)) for key in names)] for name, known in scores.items()]
    return table([f"by {part}", *names], rows)


def _class_table(result: dict[str, Any]) -> str:
    from ..taxonomy import ACTIONS

    per_class = result["per_class"]
    rows = [[action.name, percent(per_class[action.action_id]["ap"])] for action in ACTIONS]
    return table(["action", "AP"], rows)
