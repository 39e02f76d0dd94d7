"""``microg4m models convert``: a checkpoint of PySlowFast to a transformers folder, or a folder to ``.pyth``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import CheckpointError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="checkpoint file (.pyth, .pkl), or a folder with a saved model")
    parser.add_argument("target", type=Path, help="folder to make, or the .pyth to write when the source is a folder")
    parser.add_argument("--name", help="which model the checkpoint is of (microg4m models list)")
    parser.add_argument("--num-labels", type=int, help="classes of the new head, if not those of the model")
    parser.add_argument("--partial", action="store_true", help="take what fits, leave the rest freshly initialised")
    parser.add_argument("--inflate", action="store_true", help="the checkpoint holds 2D kernels")


def run(args: argparse.Namespace) -> int:
    if args.target.exists():
        raise CheckpointError(f"{args.target} exists; give another name or remove it")
    return _export(args) if (args.source / "config.json").is_file() else _convert(args)


def _convert(args: argparse.Namespace) -> int:
    if args.name is None:
        raise CheckpointError("a checkpoint does not say which network it is of; add --name (microg4m models list)")
    from ..models.pyslowfast import load_pyslowfast
    from ..storage import folder_in_one_step

    overrides = {} if args.num_labels is None else {"num_labels": args.num_labels}
    model = load_pyslowfast(args.name, args.source, partial=args.partial, inflate=args.inflate, **overrides)
    with folder_in_one_step(args.target) as folder:
        model.save_pretrained(folder)
    print(f"{args.source} -> {args.target}: {args.name}, {model.config.num_labels} classes")
    return 0


def _export(args: argparse.Namespace) -> int:
    from ..models.modeling import MicroG4MHarForVideoClassification
    from ..models.pyslowfast import save_pyslowfast

    model = MicroG4MHarForVideoClassification.from_pretrained(args.source)
    print(f"{args.source} -> {save_pyslowfast(model, args.target)}")
    return 0
