"""``microg4m gap transfer|leak|orientation``: where the gap between Earth and space comes from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .options import add_reference_options, find_references


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="what", metavar="WHAT", required=True, dest="kind")
    transfer = kinds.add_parser("transfer", help="one AVA-trained model on Earth and on MicroG-4M, action by action")
    transfer.add_argument("--earth", required=True, metavar="FILE", help="its predictions on Earth, e.g. on JHMDB")
    transfer.add_argument("--earth-references", required=True, metavar="FILE", help="the truth there, in AVA format")
    transfer.add_argument("--space", required=True, metavar="FILE", help="its predictions on MicroG-4M")
    add_reference_options(transfer)
    leak = kinds.add_parser("leak", help="one recipe on the official and on the source-disjoint split")
    leak.add_argument("official", metavar="RUN", help="run folder, official split")
    leak.add_argument("disjoint", metavar="RUN", help="run folder, source-disjoint split")
    probe = kinds.add_parser("orientation", help="one model on clips turned by 0, 90, 180, 270 degrees and mirrored")
    probe.add_argument("model", help="a run folder, a model folder or a Hub id")
    probe.add_argument("--split", default="test")
    probe.add_argument(
        "--scheme", choices=("official", "source_disjoint"), help="default: the run's own, else official"
    )
    probe.add_argument("--batch", type=int, default=8, help="key frames at once")
    for command in (leak, probe):
        command.add_argument("--data-dir", metavar="DIR", help="a folder with the released files (and clips to turn)")
        command.add_argument(
            "--source", help="'sample' or a Hub repository (default: what the run names, else the Hub)"
        )
        command.add_argument("--revision", help="revision of the Hub repository that is read")
    for command in kinds.choices.values():
        command.add_argument("--protocol", choices=("paper", "instance"), default="paper")
        command.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples of films")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--out", default="gap", metavar="FOLDER", help="where page, JSON and figures go (gap)")


def run(args: argparse.Namespace) -> int:
    from ..bench.gap_pages import differences_document, orientation_document
    from ..bench.render.write import write_document

    common = {name: getattr(args, name) for name in ("protocol", "resamples", "seed")}
    if args.kind == "orientation":
        found = _orientation(args, common)
        document = orientation_document(found)
        for row in found["turns"]:
            print(f"{row['turn']:>14}  mAP {100 * row['map']:.2f}")
        gap = found["gap"]
    else:
        title, text, found = _transfer(args, common) if args.kind == "transfer" else _leak(args, common)
        document = differences_document(title, text, found)
        gap = found["matched"]
    low, high = gap["interval"]
    print(f"gap {100 * gap['difference']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f}), p {gap['p']:.3f}")
    print(f"page: {write_document(document, found, Path(args.out)).resolve()}")
    return 0


def _transfer(args: argparse.Namespace, common: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    from ..bench.gap import transfer_gap

    args.what = "har"
    found = transfer_gap(args.earth, args.earth_references, args.space, find_references(args), **common)
    text = (
        "One model on two data sets. Average precision depends on how common an action is, so read it beside chance "
        "level and AUROC, which does not."
    )
    return "Earth to space", text, found


def _leak(args: argparse.Namespace, common: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    from ..bench.gap import leak_gap

    where = {name: getattr(args, name) for name in ("data_dir", "source", "revision")}
    found = leak_gap(args.official, args.disjoint, **where, **common)
    text = (
        "One recipe on two splits. The official split is by clip: every test film is in training too. The difference "
        "is an upper bound of what that is worth, for the test splits also hold different clips."
    )
    return "Official against source-disjoint split", text, found


def _orientation(args: argparse.Namespace, common: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import replace

    from ..bench.orientation import open_model, orientation_probe
    from ..training.build import split_items

    model, data = open_model(args.model)
    named = {name: getattr(args, name) for name in ("data_dir", "source", "revision")}
    if any(named.values()):
        data = replace(data, **named)
    if args.scheme:
        data = replace(data, scheme=args.scheme)
    return orientation_probe(model, split_items(data, args.split), data, batch=args.batch, **common)
