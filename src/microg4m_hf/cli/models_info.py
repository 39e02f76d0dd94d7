"""``microg4m models info``: what a model is, counted on the spot."""

from __future__ import annotations

import argparse
import json


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a name of `microg4m models list`, or a folder with a saved model")
    parser.add_argument("--size", type=int, help="side of the square input for the GFLOPs (default: training size)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
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
