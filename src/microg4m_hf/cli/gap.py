"""``microg4m gap transfer|leak|orientation``: measure parts of the gap between Earth and space."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from . import predict_text
from .options import (
    add_former_bootstrap_options,
    add_reference_options,
    add_release_options,
    add_turn_options,
    find_references,
    find_run,
    release_of,
    turns_of,
)

# What an option of `gap orientation` has where it is not given, except None.
DEFAULTS = {
    "mirror": False,
    "frames": 0,
    "frame_sampling": "uniform",
    "prompts": "default",
    "max_new_tokens": 256,
    "turn_choice": "likelihood",
    "runner": "local",
    "protocol": "paper",
}


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="what", metavar="WHAT", required=True, dest="kind")
    transfer = kinds.add_parser("transfer", help="compare an AVA-trained model on Earth and on MicroG-4M, by action")
    transfer.add_argument("--earth", required=True, metavar="FILE", help="its predictions on Earth, e.g. on JHMDB")
    transfer.add_argument("--earth-references", required=True, metavar="FILE", help="references there, in AVA format")
    transfer.add_argument("--space", required=True, metavar="FILE", help="its predictions on MicroG-4M")
    add_reference_options(transfer)
    leak = kinds.add_parser("leak", help="compare a recipe on the official and on the source-disjoint split")
    leak.add_argument("official", metavar="RUN_OR_FILE", help="a run or its predictions, official split")
    leak.add_argument("disjoint", metavar="RUN_OR_FILE", help="the same recipe on the source-disjoint split")
    probe = kinds.add_parser(
        "orientation", help="test a model on clips rotated by 0, 90, 180, 270 degrees and mirrored"
    )
    probe.add_argument("model", help="a run folder, a model folder or a Hub id")
    task = "har for an action model (default), vqa for a vision-language model"
    probe.add_argument("--task", choices=("har", "vqa"), default="har", help=task)
    probe.add_argument("--limit", type=int, metavar="CLIPS", help="use only the first clips, to try something out")
    probe.add_argument("--split", default="test", help="train, validation or test (default test)")
    probe.add_argument(
        "--scheme", choices=("official", "source_disjoint"), help="default: the scheme of the run, else official"
    )
    probe.add_argument("--batch", type=int, help="for actions: key frames per batch (default 8)")
    add_turn_options(probe)
    angles = "how persons are turned: video_id,frame_id,person_id,angle_degrees (default: estimated from their boxes)"
    probe.add_argument("--angles", metavar="FILE", help=angles)
    predict_text.add_model_options(probe)
    for command in (leak, probe):
        source = "'sample' or a Hub repository (default: the data of the run, else the Hub)"
        add_release_options(command, data_dir="a folder with the released files (and clips to rotate)", source=source)
    for command in kinds.choices.values():
        text = "paper: as published (default); instance: each person against their own labels"
        command.add_argument("--protocol", choices=("paper", "instance"), default="paper", help=text)
        add_former_bootstrap_options(command)
        command.add_argument("--out", default="gap", metavar="FOLDER", help="folder of page, JSON and figures (gap)")


def run(args: argparse.Namespace) -> int:
    from ..bench.gap_pages import TEXT_SCORES, differences_document, orientation_document, text_orientation_document
    from ..bench.render import write_document
    from ..bench.render.formatting import p_text

    common = {name: getattr(args, name) for name in ("protocol", "seed")}
    if args.kind == "orientation" and args.task == "vqa":
        found = _text_orientation(args)
        document = text_orientation_document(found)
        for row in found["turns"]:
            scores = [f"{name} {100 * row[key]:.2f}" for key, name in TEXT_SCORES.items() if key in row]
            print(f"{row['turn']:>14}  " + ", ".join(scores))
        if found["svqa_note"]:
            print(f"no S-VQA: {found['svqa_note']}")
        gap = found["gap"]
    elif args.kind == "orientation":
        found = _orientation(args, common)
        document = orientation_document(found)
        for row in found["turns"]:
            print(f"{row['turn']:>14}  mAP {100 * row['map']:.2f}")
        gap = found["gap"]
    else:
        title, text, found = _transfer(args, common) if args.kind == "transfer" else _leak(args, common)
        document = differences_document(title, text, found)
        gap = found["matched"]
    if gap["interval"] is None:
        print(f"gap {100 * gap['difference']:+.2f}; no interval and no verdict: {gap['why_not']}")
    else:
        low, high = gap["interval"]
        print(f"gap {100 * gap['difference']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f}), p {p_text(gap['p'])}")
    print(f"page: {write_document(document, found, Path(args.out)).resolve()}")
    return 0


def _transfer(args: argparse.Namespace, common: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    from ..bench.gap import transfer_gap

    args.what = "har"
    references = find_references(args, find_run(args.space, "har"))
    print(f"references: {references.describe()}")
    found = transfer_gap(args.earth, args.earth_references, args.space, references.data, **common)
    text = (
        "The same model on two datasets. Average precision depends on how common an action is; the chance level shows "
        "how common it is, and AUROC does not depend on it."
    )
    return "Earth to space", text, found


def _leak(args: argparse.Namespace, common: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    from ..bench.gap import leak_gap

    found = leak_gap(args.official, args.disjoint, **release_of(args), **common)
    for note in found["assumed"]:
        print(f"note: {note}")
    text = (
        "The same recipe on two splits. The official split is by clip: every test film is also in training. The "
        "difference is an upper bound of the gain from it, because the two test splits also contain different clips."
    ) + "".join(f" Note: {note}." for note in found["assumed"])
    return "Official and source-disjoint split", text, found


def _refuse_options_of(other: str, args: argparse.Namespace, names: Iterable[str]) -> None:
    for name in names:
        if getattr(args, name) != DEFAULTS.get(name):
            option = "--" + name.replace("_", "-")
            raise RecipeError(f"{option} has no effect with --task {args.task}; it needs --task {other}")


def _text_orientation(args: argparse.Namespace) -> dict[str, Any]:
    from ..bench.orientation_texts import probe_texts
    from ..data import load_dataset
    from ..inference import TextSettings, resolve_settings

    _refuse_options_of("har", args, ("batch", "angles", "turn_pooling", "mirror", "revision", "protocol"))
    asked = {name: getattr(args, name) for name in predict_text.ASKED} | predict_text.model_settings(args)
    options = predict_text.runner_options(args)
    settings = TextSettings("vqa", args.model, turns=args.turns or 1, **asked)
    settings = resolve_settings(settings, options.get("environment"))
    where = {"data_dir": args.data_dir, "source": args.source} | ({"scheme": args.scheme} if args.scheme else {})
    rows = load_dataset("vqa", split=args.split, **where)
    return probe_texts(settings, rows, f"{args.out}-runs", limit=args.limit, **options)


def _orientation(args: argparse.Namespace, common: dict[str, Any]) -> dict[str, Any]:
    from ..bench.orientation import open_model, orientation_probe
    from ..data.orientation import read_orientations
    from ..training.build import split_items

    _refuse_options_of("vqa", args, ("limit", *predict_text.ASKED, *predict_text.RUNNERS_OF_OPTION))
    model, data = open_model(args.model)
    release = release_of(args)
    if any(release.values()):
        data = replace(data, **release)
    if args.scheme:
        data = replace(data, scheme=args.scheme)
    data = replace(data, **turns_of(args))
    angles = read_orientations(args.angles) if args.angles else None
    return orientation_probe(model, split_items(data, args.split), data, angles=angles, batch=args.batch or 8, **common)
