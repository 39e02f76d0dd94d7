"""``microg4m models list``: the table of models; builds nothing, so it answers at once."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="also the tiny ones for tests and demos")


def run(args: argparse.Namespace) -> int:
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
