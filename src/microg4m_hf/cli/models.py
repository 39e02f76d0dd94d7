"""``microg4m models …``: the networks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..errors import CheckpointError
from .options import add_commands

# ``microg4m models convert``: a checkpoint of PySlowFast to a transformers folder, or a folder to ``.pyth``.


def configure_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="checkpoint file (.pyth, .pkl), or a folder with a saved model")
    parser.add_argument("target", type=Path, help="folder to make, or the .pyth to write when the source is a folder")
    parser.add_argument("--name", help="which model the checkpoint is of (microg4m models list)")
    parser.add_argument("--num-labels", type=int, help="classes of the new head, if not those of the model")
    parser.add_argument("--partial", action="store_true", help="take what fits, leave the rest freshly initialised")
    parser.add_argument("--inflate", action="store_true", help="the checkpoint holds 2D kernels")


def run_convert(args: argparse.Namespace) -> int:
    if args.target.exists():
        raise CheckpointError(f"{args.target} exists; give another name or remove it")
    return _export(args) if (args.source / "config.json").is_file() else _convert(args)


def _convert(args: argparse.Namespace) -> int:
    if args.name is None:
        raise CheckpointError("a checkpoint does not say which network it is of; add --name (microg4m models list)")
    from ..models.pyslowfast import load_pyslowfast
    from ..storage import atomic_folder

    overrides = {} if args.num_labels is None else {"num_labels": args.num_labels}
    model = load_pyslowfast(args.name, args.source, partial=args.partial, inflate=args.inflate, **overrides)
    with atomic_folder(args.target) as folder:
        model.save_pretrained(folder)
    print(f"{args.source} -> {args.target}: {args.name}, {model.config.num_labels} classes")
    return 0


def _export(args: argparse.Namespace) -> int:
    from ..models.modeling import MicroG4MHarForVideoClassification
    from ..models.pyslowfast import save_pyslowfast

    model = MicroG4MHarForVideoClassification.from_pretrained(args.source)
    print(f"{args.source} -> {save_pyslowfast(model, args.target)}")
    return 0


# ``microg4m models info``: what a model is, counted on the spot.


def configure_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a name of `microg4m models list`, or a folder with a saved model")
    parser.add_argument("--size", type=int, help="side of the square input for the GFLOPs (default: training size)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run_info(args: argparse.Namespace) -> int:
    facts = _facts(args.name, args.size)
    if args.json:
        print(json.dumps(facts, indent=2))
        return 0
    for title, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        print(
            f"{title.replace('_', ' '):18}{value:,}"
            if isinstance(value, int)
            else f"{title.replace('_', ' '):18}{value}"
        )
    return 0


def _facts(name: str, size: int | None) -> dict[str, object]:
    from pathlib import Path

    from ..models.build import config_of, count
    from ..models.configuration import MicroG4MHarConfig
    from ..models.registry import VARIANTS

    folder = Path(name)
    config = MicroG4MHarConfig.from_pretrained(name) if (folder / "config.json").is_file() else config_of(name)
    parameters, gflops = count(config, size)
    side = size or config.train_size
    variant = VARIANTS.get(config.variant)
    facts: dict[str, object] = {
        "name": config.variant,
        "settings": config.settings,
        "parameters": parameters,
        "gflops": round(gflops, 2),
        "input": f"3×{config.num_frames}×{side}×{side}, every {config.sampling_rate}. frame",
        "classes": config.num_labels,
        "roi_stride": config.roi_stride,
    }
    if variant is not None and config.settings == variant.settings:
        if variant.published is not None:
            facts["published"] = variant.published._asdict()
            facts["published_source"] = "MicroG-4M, test split, per cent, protocol paper"
        if variant.note:
            facts["note"] = variant.note
    return facts


# ``microg4m models list``: the table of models; builds nothing, so it answers at once.


def configure_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="also the tiny ones for tests and demos")


def run_list(args: argparse.Namespace) -> int:
    from ..models.registry import CORRECTED, PUBLISHED, VARIANTS

    names = VARIANTS if args.all else {**PUBLISHED, **CORRECTED}
    print(f"{'name':30}{'frames':>8}{'parameters':>13}{'mAP':>7}  note")
    for name, variant in names.items():
        frames = f"{variant.num_frames}×{variant.sampling_rate}"
        parameters = f"{variant.parameters:,}" if variant.parameters else ""
        score = f"{variant.published.map50:.2f}" if variant.published else ""
        print(f"{name:30}{frames:>8}{parameters:>13}{score:>7}  {variant.note}".rstrip())
    print(
        "\nPublished names reproduce the published networks; train anew with the _corrected ones where there are any."
    )
    return 0


COMMANDS = {
    "list": (configure_list, run_list, "the models by name, with parameters and published scores"),
    "info": (configure_info, run_info, "one model: parameters, GFLOPs, input shape, published scores"),
    "convert": (configure_convert, run_convert, "PySlowFast checkpoint to a transformers folder, and back"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    add_commands(parser, COMMANDS)


def run(args: argparse.Namespace) -> int:
    return args.run(args)
