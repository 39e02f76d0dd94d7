"""``microg4m report RUN_OR_FILE…``: tables and figures with your runs beside the published rows."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from .options import add_interval_options, add_run_options


def configure(parser: argparse.ArgumentParser) -> None:
    add_run_options(parser, clips_for="for pictures", source="the data of each run, else the Hub")
    parser.add_argument("--out", default="report", metavar="FOLDER", help="folder of the report (default: report)")
    parser.add_argument("--references", metavar="FILE", help="a file with the references (default: the dataset)")
    parser.add_argument("--scheme", help="official or source_disjoint (default: the scheme of each run)")
    parser.add_argument("--split", help="the split of files that do not record it (default: test)")
    text = "paper: as published (default); instance for actions; coco for captions and answers"
    parser.add_argument("--protocol", choices=("paper", "instance", "coco"), default="paper", help=text)
    text = "for captions and answers, separated by commas; also meteor_1_5, sbert, …"
    parser.add_argument("--metrics", default="bleu,cider,rouge_l", help=text)
    parser.add_argument("--encoder", help="sentence encoder for sbert and svqa: a folder or a Hub id (id@revision)")
    parser.add_argument("--bert-model", help="BERTScore model: a folder or a Hub id (id@revision)")
    add_interval_options(parser)
    parser.add_argument("--details", type=int, default=5, metavar="N", help="number of runs with a detailed part (5)")
    text = "also write figures for papers: PDF and SVG, 8.4 and 17.6 cm wide"
    parser.add_argument("--figures", action="store_true", help=text)
    parser.add_argument("--png", action="store_true", help="write figures as PNG too")
    parser.add_argument("--eval-results", action="store_true", help="also write the Hub's .eval_results files")
    text = "only write the caption and question tasks for lmms-eval, on a dataset that `data push` wrote"
    parser.add_argument("--export-lmms-eval", nargs=2, metavar=("FOLDER", "ORG/NAME"), help=text)
    text = "the same for inspect_ai: a file with the tasks microg4m_caption and microg4m_vqa"
    parser.add_argument("--export-inspect", nargs=2, metavar=("FOLDER", "ORG/NAME"), help=text)
    text = "the same for VLMEvalKit: a table per task, the clips, and a dataset class"
    parser.add_argument("--export-vlmevalkit", nargs=2, metavar=("FOLDER", "ORG/NAME"), help=text)


def run(args: argparse.Namespace) -> int:
    if args.export_lmms_eval or args.export_inspect or args.export_vlmevalkit:
        return _export(args)
    from ..bench.report import make_report
    from ..bench.scoring import ScoringOptions

    options = ScoringOptions(
        args.protocol,
        tuple(name.strip() for name in args.metrics.split(",") if name.strip()),
        args.encoder,
        args.bert_model,
        args.resamples,
        args.seed,
    )
    names = ("references", "data_dir", "source", "revision", "scheme", "split", "task")
    where = {name: getattr(args, name) for name in names}
    output = {name: getattr(args, name) for name in ("details", "figures", "png", "eval_results")}
    command = shlex.join(["microg4m", *args.words])
    data = make_report(args.runs, args.out, options=options, command=command, **output, **where)
    for title, found in data["tasks"].items():
        print(f"{title}: {len(found['systems'])} scored")
    for one in data["not_scored"]:
        print(f"not scored: {one['name']}: {one['why']}")
    print(f"report: {Path(args.out, 'report.html').resolve()}")
    return 1 if data["not_scored"] else 0


def _export(args: argparse.Namespace) -> int:
    if args.export_lmms_eval:
        from ..bench.lmms_tasks import export_lmms_eval

        folder = export_lmms_eval(*args.export_lmms_eval)
        print(f"python -m lmms_eval --include_path {folder} --tasks microg4m_caption,microg4m_vqa --model …")
    if args.export_inspect:
        from ..bench.inspect_tasks import export_inspect

        print(f"inspect eval {export_inspect(*args.export_inspect)} --model …")
    if args.export_vlmevalkit:
        from ..bench.vlmevalkit import export_vlmevalkit

        split = args.split or "test"
        print(f"tables, clips and dataset class: {export_vlmevalkit(*args.export_vlmevalkit, split=split)}")
    return 0
