"""``microg4m train har|vlm …``: fine-tuning; ``train har`` is ``microg4m_hf.training.har`` on one process."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..training import har
from .options import add_commands

# ``microg4m train vlm --config recipes/qwen2_5_vl_lora.yaml``: a LoRA adapter on captions and answers.


def configure_vlm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="RECIPE", help="a YAML recipe, see recipes/")
    parser.add_argument("--out", metavar="FOLDER", help="the run folder (default runs/<recipe name>)")
    parser.add_argument("--push-to-hub", metavar="ORG/NAME", help="push adapter, card and log at the end")
    parser.add_argument("set", nargs="*", metavar="key=value", help="values that win over the recipe")


def run_vlm(args: argparse.Namespace) -> int:
    from ..inference.items import TextSettings
    from ..inference.vlm.loading import Placement, load_model
    from ..runtime import is_main_process
    from ..training.recipe_io import load_vlm_recipe
    from ..training.run_folder import VlmFolder
    from ..training.vlm import Examples, train_adapter

    recipe = load_vlm_recipe(args.config, args.set)
    folder = VlmFolder(args.out or Path("runs") / recipe.name)
    settings = TextSettings(recipe.tasks[0], recipe.model, revision=recipe.revision, dtype=recipe.dtype)
    rows = _rows(recipe)
    model, processor = load_model(settings, Placement())
    examples = Examples(processor, prompts=recipe.prompts, frames=recipe.frames)
    loss = train_adapter(recipe, folder, model, processor, rows, examples.example)
    if is_main_process():
        print(
            f"last loss {loss:.4f}; the adapter is in {folder.adapter}: microg4m predict vqa --model {folder.adapter}"
        )
        if args.push_to_hub:
            from ..training.push import push_adapter

            print(f"pushed to {push_adapter(folder.path, args.push_to_hub)}")
    return 0


def _rows(recipe: Any) -> list[dict[str, Any]]:
    from ..data import load_dataset

    rows: list[dict[str, Any]] = []
    for task in recipe.tasks:
        rows += load_dataset(
            task, split=recipe.split, scheme=recipe.scheme, source=recipe.source, data_dir=recipe.data_dir
        )
    return rows


COMMANDS = {
    "har": (har.configure, har.run, "a video network that says what every person in a clip does"),
    "vlm": (configure_vlm, run_vlm, "a LoRA adapter of a vision-language model, on captions and answers"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    add_commands(parser, COMMANDS)


def run(args: argparse.Namespace) -> int:
    return args.run(args)
