"""``microg4m models list|info|convert|push-released``: list, describe, convert, and push the authors' models."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..errors import CheckpointError


def configure_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="include the tiny models for tests and demos")


def run_list(args: argparse.Namespace) -> int:
    from ..models.registry import CORRECTED, PUBLISHED, VARIANTS

    print(f"{'name':30}{'frames':>8}{'parameters':>13}{'mAP':>7}  note")
    for name, variant in (VARIANTS if args.all else PUBLISHED | CORRECTED).items():
        frames = f"{variant.num_frames}×{variant.sampling_rate}"
        parameters = f"{variant.parameters:,}" if variant.parameters else ""
        score = f"{variant.published.map50:.2f}" if variant.published else ""
        print(f"{name:30}{frames:>8}{parameters:>13}{score:>7}  {variant.note}".rstrip())
    print("\nThese names build the published networks; for new training use the _corrected variant where there is one.")
    return 0


def configure_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a name of `microg4m models list`, or a folder with a saved model")
    parser.add_argument("--size", type=int, help="side of the square input for the GFLOPs (default: training size)")
    parser.add_argument("--turn-pooling", action="store_true", help="describe it with turn pooling")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_info(args: argparse.Namespace) -> int:
    from ..models.build import config_of, count_parameters_and_gflops
    from ..models.configuration import MicroG4MHarConfig
    from ..models.registry import VARIANTS

    saved = (Path(args.name) / "config.json").is_file()
    config = MicroG4MHarConfig.from_pretrained(args.name) if saved else config_of(args.name)
    if args.turn_pooling and not config.turn_pooling:
        config.turn_pooling, config.settings = True, "custom"
    parameters, gflops = count_parameters_and_gflops(config, args.size)
    side = args.size or config.train_size
    facts: dict[str, Any] = {
        "name": config.variant,
        "settings": config.settings,
        "parameters": parameters,
        "gflops": round(gflops, 2),
        "input": f"3×{config.num_frames}×{side}×{side}, sampling rate {config.sampling_rate}",
        "classes": config.num_labels,
        "roi_stride": config.roi_stride,
    }
    if config.turn_pooling:
        config.turn_pooling = False
        facts["gflops_per_turn"] = round(count_parameters_and_gflops(config, args.size)[1], 2)
    variant = VARIANTS.get(config.variant)
    if variant is not None and config.settings == variant.settings:
        if variant.published is not None:
            facts["published"] = variant.published._asdict()
            facts["published_source"] = "MicroG-4M, test split, percent, protocol paper"
        if variant.note:
            facts["note"] = variant.note
    if args.json:
        print(json.dumps(facts, indent=2))
        return 0
    for title, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {score}" for name, score in value.items())
        print(f"{title.replace('_', ' '):18}" + (f"{value:,}" if isinstance(value, int) else str(value)))
    return 0


def configure_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="a checkpoint (.pyth, .pkl), or a folder with a saved model")
    parser.add_argument("target", type=Path, help="the folder to create, or the .pyth file when the source is a folder")
    parser.add_argument("--name", help="the model of the checkpoint, a name of `microg4m models list`")
    parser.add_argument("--num-labels", type=int, help="number of classes (default: that of the model)")
    parser.add_argument("--partial", action="store_true", help="load what fits and initialize the rest")
    parser.add_argument("--inflate", action="store_true", help="repeat 2D kernels over time")


def run_convert(args: argparse.Namespace) -> int:
    from ..models.pyslowfast import load_pyslowfast, load_saved, save_pyslowfast
    from ..storage import atomic_folder

    if args.target.exists():
        raise CheckpointError(f"{args.target} exists; give another name or remove it")
    if (args.source / "config.json").is_file():
        model = load_saved(args.source)
        print(f"{args.source} -> {save_pyslowfast(model, args.target)}")
        return 0
    if args.name is None:
        raise CheckpointError("a checkpoint does not contain its network; add --name (see `microg4m models list`)")
    overrides = {} if args.num_labels is None else {"num_labels": args.num_labels}
    model = load_pyslowfast(args.name, args.source, partial=args.partial, inflate=args.inflate, **overrides)
    with atomic_folder(args.target) as folder:
        model.save_pretrained(folder)
    print(f"{args.source} -> {args.target}: {args.name}, {model.config.num_labels} classes")
    return 0


def configure_push_released(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("organization", metavar="ORG", help="your name on the Hub, or an organization of yours")
    parser.add_argument("--only", action="append", metavar="NAME", help="push only this model; may be repeated")
    parser.add_argument("--private", action="store_true", help="make new repositories private")
    parser.add_argument("--dry-run", action="store_true", help="fetch and convert, and push nothing")
    parser.add_argument("--revision", help="commit, tag or branch of the authors' repository")
    parser.add_argument(
        "--file", action="append", metavar="NAME=FILE", help="the file in it, where several belong to a model"
    )


def run_push_released(args: argparse.Namespace) -> int:
    from ..models.released_repos import push_each
    from ..visible import visible

    files = dict(choice.partition("=")[::2] for choice in args.file or [])
    done = []
    for one in push_each(
        args.organization,
        args.only,
        private=args.private,
        revision=args.revision,
        files=files,
        dry_run=args.dry_run,
    ):
        done.append(one.state)
        if one.state == "failed":
            print(f"{one.name}: not pushed: {visible(' '.join(one.address.split()))}", file=sys.stderr)
            continue
        what = {"pushed": "pushed to", "unchanged": "is already in", "ready": "can be pushed to"}[one.state]
        print(f"{one.name}: {what} {one.repo_id} ({one.size / 1e6:.1f} MB) {one.address}".rstrip())
    good = len(done) - done.count("failed")
    print(f"{good} of {len(done)} models are {'ready' if args.dry_run else f'at {args.organization}'}")
    return 2 if "failed" in done else 0


COMMANDS = {
    "list": (configure_list, run_list, "list the models with their parameters and published scores"),
    "info": (configure_info, run_info, "describe one model: parameters, GFLOPs, input shape, published scores"),
    "convert": (configure_convert, run_convert, "convert a PySlowFast checkpoint to a transformers folder, or back"),
    "push-released": (
        configure_push_released,
        run_push_released,
        "convert the authors' models and push each to the Hub, with a card",
    ),
}
