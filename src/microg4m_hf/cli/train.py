"""``microg4m train har|vlm|list|show``: fine-tuning on one process, and the built-in recipes."""

from __future__ import annotations

import argparse
from functools import partial

from ..training import har
from ..training.launch import add_training_options
from ..training.recipes import list_recipes, recipe_file


def run_vlm(args: argparse.Namespace) -> int:
    from ..training import vlm  # decodes clips, which takes numpy and a third of a second

    return vlm.run(args)


def configure_list(parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def run_list(args: argparse.Namespace) -> int:
    rows = [("name", "model", "variant", "purpose"), *list_recipes()]
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(3)]
    for row in rows:
        print("".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)) + row[3])
    print("\nGive a name to --config. `microg4m train vlm` takes the recipes with variant adapter.")
    print("For a recipe of your own, start from one of these: microg4m train show demo > mine.yaml")
    return 0


def configure_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="a name of `microg4m train list`")


def run_show(args: argparse.Namespace) -> int:
    print(recipe_file(args.recipe).read_text(encoding="utf-8"), end="")
    return 0


_har_options, _vlm_options = (partial(add_training_options, kind=kind) for kind in ("har", "vlm"))
COMMANDS = {
    "har": (_har_options, har.run, "a video network that predicts what every person in a clip is doing"),
    "vlm": (_vlm_options, run_vlm, "a LoRA adapter of a vision-language model, on captions and answers"),
    "list": (configure_list, run_list, "the built-in recipes: name, model, variant, purpose"),
    "show": (configure_show, run_show, "print a recipe as YAML, to start one of your own"),
}
