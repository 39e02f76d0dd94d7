"""``microg4m report RUN_OR_FILE…``: the benchmark's tables with your runs beside the published rows."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="RUN_OR_FILE", help="run folders, prediction files, or NAME=PATH")
    parser.add_argument("--out", default="report", metavar="FOLDER", help="where the report goes (default: report)")
    parser.add_argument("--references", metavar="FILE", help="a file with the truth; else the data set is read:")
    parser.add_argument("--data-dir", metavar="DIR", help="a folder with the released files; with clips for pictures")
    parser.add_argument("--source", help="'sample' or a Hub repository (default: what each run names, else the Hub)")
    parser.add_argument("--revision", help="revision of the Hub repository that is read")
    parser.add_argument("--scheme", help="official or source_disjoint (default: what each run names)")
    parser.add_argument("--task", choices=("har", "caption", "vqa"), help="for files that do not show what they hold")
    parser.add_argument("--protocol", choices=("paper", "instance", "coco"), default="paper")
    parser.add_argument(
        "--metrics", default="bleu,cider,rouge_l", help="of texts, with commas: also meteor_1_5, sbert, …"
    )
    parser.add_argument("--encoder", help="sentence encoder of sbert and svqa: a folder or a Hub id (id@revision)")
    parser.add_argument("--bert-model", help="BERTScore model: a folder or a Hub id (id@revision)")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples of films; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--details", type=int, default=5, metavar="N", help="systems with a part of their own (5)")
    parser.add_argument("--png", action="store_true", help="figures also as PNG")
    parser.add_argument("--eval-results", action="store_true", help="also the Hub's .eval_results file of each system")
    parser.add_argument(
        "--export-lmms-eval",
        nargs=2,
        metavar=("FOLDER", "ORG/NAME"),
        help="write our text tasks for lmms-eval, on a data set that `data push` wrote, and nothing else",
    )


def run(args: argparse.Namespace) -> int:
    if args.export_lmms_eval:
        from ..bench.lmms_tasks import export_lmms_eval

        folder = export_lmms_eval(*args.export_lmms_eval)
        print(f"python -m lmms_eval --include_path {folder} --tasks microg4m_caption,microg4m_vqa --model …")
        return 0
    from ..bench.report import make_report
    from ..bench.scoring import Options

    options = Options(
        args.protocol,
        tuple(name.strip() for name in args.metrics.split(",") if name.strip()),
        args.encoder,
        args.bert_model,
        args.resamples,
        args.seed,
    )
    where = {name: getattr(args, name) for name in ("references", "data_dir", "source", "revision", "scheme", "task")}
    extras = {"details": args.details, "png": args.png, "eval_results": args.eval_results}
    data = make_report(args.runs, args.out, options=options, **extras, **where)
    for title, found in data["tasks"].items():
        print(f"{title}: {len(found['systems'])} scored")
    for one in data["not_scored"]:
        print(f"not scored: {one['name']}: {one['why']}")
    print(f"report: {Path(args.out, 'report.html').resolve()}")
    return 1 if data["not_scored"] else 0
