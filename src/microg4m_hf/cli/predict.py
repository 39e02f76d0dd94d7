"""``microg4m predict har|caption|vqa``: predictions of a model, in files that ``microg4m score`` reads."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import RecipeError
from . import predict_text
from .options import add_release_options, add_turn_options, turns_of


def configure_har(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="a run folder, a model folder or Hub id, or a name of `microg4m models list`")
    parser.add_argument(
        "--config", metavar="RECIPE", help="or a recipe: a name of `microg4m train list`, or a YAML file"
    )
    parser.add_argument("--weights", metavar="FILE", help="a PySlowFast checkpoint for a named model")
    parser.add_argument("--out", metavar="FOLDER", help="the run folder (default runs/predict-<model>-<split>)")
    parser.add_argument("--split", default="test", help="train, validation or test (default test)")
    add_release_options(parser)
    text = "the split scheme (default: that of the recipe)"
    parser.add_argument("--scheme", choices=("official", "source_disjoint"), help=text)
    parser.add_argument(
        "--key-frame", choices=("released", "exact"), help="released (one frame late, as published) or exact"
    )
    parser.add_argument(
        "--as-released",
        action="store_true",
        help="read frames as the published runs did: FFmpeg extracts them as JPEG, OpenCV reads and resizes them",
    )
    parser.add_argument("--on-error", choices=("raise", "skip"), help="what to do with clips that cannot be decoded")
    parser.add_argument(
        "--ava-format", metavar="DIR", help="a second dataset in AVA format, to measure the gap from Earth to space"
    )
    parser.add_argument("--workers", type=int, help="number of processes that decode clips")
    parser.add_argument("--limit", type=int, metavar="N", help="predict and score only the first N key frames")
    parser.add_argument("--batch-size", type=int, default=8, help="key frames per forward pass (default 8)")
    parser.add_argument(
        "--compile",
        choices=("auto", "yes", "no"),
        help="run a faster form of the network: auto (default) on a CPU, yes also on a GPU, no never",
    )
    parser.add_argument(
        "--mixed-precision", choices=("no", "bf16"), help="bf16 is faster on CPUs and GPUs with bf16, and less exact"
    )
    add_turn_options(parser, "auto")
    parser.add_argument("set", nargs="*", metavar="key=value", help="values that take precedence over the recipe")


def run_har(args: argparse.Namespace) -> int:
    from ..runtime import is_main_process
    from ..training.predict_run import predict_har, recipe_of
    from ..training.recipe_io import load_recipe, override_recipe

    if bool(args.model) == bool(args.config):
        raise RecipeError("a prediction needs one model; give either --model or --config")
    names = ("data_dir", "source", "revision", "scheme", "key_frame", "on_error", "workers")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.as_released:
        given["decoder"] = "as_released"
    if args.model:
        recipe = recipe_of(args.model, args.weights, **given)
    else:
        words = [f"data.{name}={value}" for name, value in given.items()]
        recipe = load_recipe(args.config, words + ([f"model.init={args.weights}"] if args.weights else []))
    words = [f"data.{name}={value}" for name, value in turns_of(args).items()]
    evaluated = {"compile": args.compile, "precision": args.mixed_precision}
    words += [f"loop.eval_{name}={value}" for name, value in evaluated.items() if value is not None]
    recipe = override_recipe(recipe, [*words, *args.set])
    views = f"-{len(recipe.data.views)}-turns" if recipe.data.views else ""
    folder = Path(args.out or f"runs/predict-{recipe.name}-{args.split}{views}")
    summary = predict_har(
        recipe, folder, args.split, ava_format=args.ava_format, limit=args.limit, batch=args.batch_size
    )
    result = summary[args.split]
    if is_main_process():
        if "key_frames" in result:
            counts = result["key_frames"]
            print(f"the first {counts['predicted']} of {counts['in_split']} key frames of {args.split}:")
        for protocol, scores in (("paper", result["scores"]), ("instance", result["instance"])):
            print(f"{protocol}: " + ", ".join(f"{name} {100 * scores[name]:.2f}" for name in ("map", "f1", "auroc")))
        if "gap" in summary and summary["gap"]["classes"]:
            gap = summary["gap"]
            earth, space = 100 * gap["one"], 100 * gap["two"]
            print(f"mAP over {gap['classes']} classes of both: {earth:.2f} on Earth, {space:.2f} in space")
        print(f"{result['signature']}\npredictions and results are in {folder}")
    return 0


COMMANDS = {
    "har": (configure_har, run_har, "the actions of every person"),
    "caption": (predict_text.configure, predict_text.run, "a caption for every clip"),
    "vqa": (predict_text.configure, predict_text.run, "an answer to every question"),
}
