"""``microg4m reproduce har|gap|caption|vqa``: run published rows again, and judge whether they come out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RecipeError
from .options import add_release_options, release_of, table

if TYPE_CHECKING:
    from ..bench.published import PublishedRow
    from ..bench.reproduction.judgement import RowResult
    from ..bench.reproduction.row_runner import HarOptions


def configure_har(parser: argparse.ArgumentParser) -> None:
    text = "rows of `microg4m models list` (default: all fourteen), and section.key=value for the recipe"
    parser.add_argument("names", nargs="*", metavar="NAME", help=text)
    add_release_options(parser, data_dir="a local folder with the released files and clips")
    add_output_options(parser)
    parser.add_argument(
        "--predictions", action="append", metavar="[NAME=]PATH",
        help="judge prediction files instead of running models: a file, a run folder, or a folder of them; repeatable",
    )  # fmt: skip
    parser.add_argument("--references", metavar="FILE", help="references of the predictions instead of the dataset")
    text = "the authors' evaluation results (detections_test.csv by model), to compare class by class"
    parser.add_argument("--released-results", metavar="FOLDER", help=text)
    text = "a checkpoint of your own for a row, or for its corrected network; repeatable"
    parser.add_argument("--weights", action="append", default=[], metavar="[NAME=]FILE", help=text)
    parser.add_argument("--weights-revision", metavar="REV", help="commit, tag or branch of the authors' models")
    text = "judge predictions from frames that FFmpeg and OpenCV read, as in the published runs; compare with ours"
    parser.add_argument("--as-released", action="store_true", help=text)
    text = "show the corrected protocol and the corrected networks beside each row"
    parser.add_argument("--corrected", action="store_true", help=text)
    parser.add_argument("--workers", type=int, help="number of processes that decode clips")
    parser.add_argument("--batch-size", type=int, default=8, help="key frames per forward pass (default 8)")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``, which all kinds of rows share."""
    parser.add_argument("--out", default="reproduce", metavar="FOLDER", help="folder of runs and results (reproduce)")


def configure_gap(parser: argparse.ArgumentParser) -> None:
    configure_har(parser)
    text = "JHMDB as it is downloaded, or a folder in AVA's format; with predictions also a file of references"
    parser.add_argument("--jhmdb", metavar="DIR", help=text)
    text = "judge predictions on JHMDB, beside --predictions on MicroG-4M; repeatable"
    parser.add_argument("--earth-predictions", action="append", metavar="[NAME=]PATH", help=text)


def run_har(args: argparse.Namespace) -> int:
    from ..bench.reproduction.har_rows import report_progress, reproduce_har
    from ..runtime import is_main_process

    names, options = _options(args)
    rows = reproduce_har(names, args.out, options, finished=report_progress)
    return show(rows, args) if is_main_process() else 0


def run_gap(args: argparse.Namespace) -> int:
    from ..bench.reproduction.gap_rows import reproduce_gap
    from ..bench.reproduction.har_rows import find_predictions, report_progress
    from ..runtime import is_main_process

    if bool(args.earth_predictions) != bool(args.predictions):
        raise RecipeError("--predictions and --earth-predictions belong together; give both, or run the models")
    names, options = _options(args)
    earth = find_predictions(args.earth_predictions, names) if args.earth_predictions else None
    rows = reproduce_gap(names, args.out, options, jhmdb=args.jhmdb, earth_predictions=earth, finished=report_progress)
    return show(rows, args) if is_main_process() else 0


def _options(args: argparse.Namespace) -> tuple[list[str], HarOptions]:
    from ..bench.reproduction.har_rows import find_predictions, row_name
    from ..bench.reproduction.row_runner import HarOptions

    overrides = [word for word in args.names if "=" in word]
    names = [row_name(word) for word in args.names if "=" not in word]
    check_sources(args, overrides)
    options = HarOptions(
        release_of(args),
        args.references,
        find_predictions(args.predictions, names) if args.predictions else None,
        find_predictions([args.released_results]) if args.released_results else {},
        dict(_weights_of(word, names) for word in args.weights),
        args.weights_revision,
        overrides,
        args.as_released,
        args.corrected,
        args.workers,
        args.batch_size,
    )
    return names, options


def check_sources(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Refuse options that have no effect together."""
    if args.references and not args.predictions:
        raise RecipeError("--references is for --predictions; a model is run on the dataset of --data-dir or --source")
    if args.references and any(release_of(args).values()):
        raise RecipeError("--references and the dataset options both name the references; leave one of them out")
    if args.predictions and (args.weights or args.weights_revision or args.as_released or overrides):
        raise RecipeError("--predictions runs no model, so weights and settings have no effect; leave them out")


def _weights_of(word: str, names: Sequence[str]) -> tuple[str, str]:
    from ..bench.reproduction.har_rows import row_name

    name, equals, path = word.partition("=")
    if equals and not Path(word).exists():
        better = "_corrected" if name.endswith("_corrected") else ""
        return row_name(name.removesuffix("_corrected")) + better, path
    if len(names) != 1:
        raise RecipeError(f"--weights {word} does not say of which row; give --weights NAME={word}")
    return names[0], word


def show(rows: Sequence[RowResult], args: argparse.Namespace) -> int:
    """Print judged rows, write ``reproduce.json`` and the page, and return the exit code.

    Args:
        rows: The rows.
        args: The options of the command: ``what`` is the kind of the rows, and ``out`` the folder.
    """
    from ..bench.reproduction.judgement import exit_code
    from ..bench.reproduction.reproduction_page import (
        corrected_line,
        remark_lines,
        table_rows,
        transfer_line,
        write_results,
    )

    out, settings = args.out, {key: value for key, value in vars(args).items() if key != "execute"}
    page = write_results(rows, Path(out), what=args.what, settings=settings)
    head, body = table_rows(rows)
    lines = table(head, [cells[:-1] for cells in body]).splitlines()
    print(f"{lines[0]}| judgement; published scores in brackets\n{lines[1]}|-")
    for line, cells in zip(lines[2:], body, strict=True):
        print(f"{line} | {' '.join(cells[-1].split())}")
    for text in remark_lines(rows):
        print(text)
    for row in rows:
        if corrected := row.evidence.get("corrected"):
            print(f"{row.name}: {corrected_line(corrected)}")
        if transfer := row.evidence.get("transfer"):
            print(f"{row.name}: {transfer_line(transfer)}")
    print(f"results: {Path(out, 'reproduce.json')}\npage: {page.resolve()}")
    return exit_code(rows)


def configure_text(parser: argparse.ArgumentParser) -> None:
    from . import predict_text

    parser.add_argument("model", metavar="MODEL", help="a model of the published table: a Hub id or a served model")
    add_release_options(parser, data_dir="a local folder with the released files and clips")
    add_output_options(parser)
    parser.add_argument("--predictions", metavar="PATH", help="judge a prediction file or run folder, run no model")
    parser.add_argument("--references", metavar="FILE", help="references of the predictions instead of the dataset")
    parser.add_argument("--row", metavar="NAME", help="the printed name of the row, where MODEL does not show it")
    parser.add_argument("--metrics", help="scores of the table, separated by commas (default: all six)")
    parser.add_argument("--encoder", help="folder or Hub id of the sentence encoder for sbert and svqa")
    parser.add_argument("--bert-model", help="folder or Hub id of the model for bertscore")
    parser.add_argument("--model-revision", metavar="REV", help="commit, tag or branch of the model")
    parser.add_argument("--limit", type=int, metavar="CLIPS", help="ask about the first clips only, to try it out")
    predict_text.add_model_options(parser)


def run_text(args: argparse.Namespace) -> int:
    from ..bench.reproduction.text_rows import find_text_row, judge_texts, not_possible, text_references, text_run
    from ..errors import MicroG4MError
    from ..runtime import rank_and_world_size

    if args.references and not args.predictions:
        raise RecipeError("--references is for --predictions; a model is run on the dataset of --data-dir or --source")
    if args.references and any(release_of(args).values()):
        raise RecipeError("--references and the dataset options both name the references; leave one of them out")
    row, table = find_text_row(args.what, args.row or args.model)
    try:
        path = args.predictions
        if path is None:
            path, missing = _predict_texts(args, row)
            rank, world_size = rank_and_world_size()
            if missing and world_size > 1:  # the last process judges
                print(f"process {rank} is done; {missing} texts of other processes are missing")
                return 0
        references = text_references(args.what, args.references, release_of(args))
        metrics = [name for name in (args.metrics or "").split(",") if name]
        options = {"encoder": args.encoder, "bert_model": args.bert_model}
        result = judge_texts(row, table, text_run(path, args.what), references, metrics=metrics, **options)
    except (MicroG4MError, OSError) as error:
        if isinstance(error, (ImportError, RecipeError)):
            raise
        result = not_possible(row, table, error)
    return show([result], args)


def _predict_texts(args: argparse.Namespace, row: PublishedRow) -> tuple[Path, int]:
    """Run the model of a row, or what is missing of it; return the run folder, and how many texts are missing."""
    from ..data import load_dataset
    from ..inference import TextSettings, predict_texts, resolve_settings
    from ..inference.items import BASELINES
    from . import predict_text

    names = ("frame_sampling", "prompts", "max_new_tokens", "runner")
    given = {name: getattr(args, name) for name in names} | predict_text.model_settings(args)
    frames = args.frames or row.frames or 0
    settings = TextSettings(args.what, args.model, frames=frames, revision=args.model_revision, **given)
    options = predict_text.runner_options(args)
    settings = resolve_settings(settings, options.get("environment"))
    rows = load_dataset(args.what, split="test", videos=args.model not in BASELINES, **release_of(args))
    folder = Path(args.out) / f"{args.what}-{args.model.strip('/').replace('/', '--')}"
    summary = predict_texts(settings, rows, folder, limit=args.limit, **options)
    return folder, summary["missing"]


COMMANDS = {
    "har": (configure_har, run_har, "the twelve fine-tuned rows and the two zero-shot ones"),
    "gap": (configure_gap, run_gap, "the models from AVA on Earth (JHMDB) and in space"),
    "caption": (configure_text, run_text, "a row of the caption table, with its published number of frames"),
    "vqa": (configure_text, run_text, "a row of the question table, with its published number of frames"),
}
