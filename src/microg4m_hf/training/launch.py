"""The command line that ``python -m microg4m_hf.training.har`` and ``python -m microg4m_hf.training.vlm`` share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from ..errors import RecipeError
from ..exits import run_command
from ..runtime import rank_and_world_size
from .processes import MainProcessError
from .recipes.recipe_keys import describe_keys
from .run_folder import RunFolder

# kind -> the default of --out, and what --push-to-hub pushes
_OUTPUTS = {
    "har": ("runs/<recipe name>-<variant>", "model, card, scores and predictions"),
    "vlm": ("runs/<recipe name>", "adapter, card and log"),
}


def add_training_options(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add the options of ``microg4m train har`` or ``vlm``."""
    default_out, pushed = _OUTPUTS[kind]
    parser.add_argument(
        "--config", required=True, metavar="RECIPE", help="a name of `microg4m train list`, or a YAML file"
    )
    parser.add_argument("--out", metavar="FOLDER", help=f"the run folder (default {default_out})")
    parser.add_argument("--resume", action="store_true", help="fail unless the folder contains a run to resume")
    parser.add_argument("--push-to-hub", metavar="ORG/NAME", help=f"push {pushed} at the end")
    parser.add_argument("set", nargs="*", metavar="key=value", help="values that take precedence over the recipe")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n\n".join(filter(None, [parser.epilog, describe_keys(kind)]))


def run_folder_of(args: argparse.Namespace, default: str) -> RunFolder:
    """Return the folder that ``--out`` names; with ``--resume`` it must contain a run."""
    run = RunFolder(args.out or Path("runs") / default)
    if args.resume and not run.config.exists():
        raise RecipeError(f"{run.path} does not contain a run to resume; leave out --resume to start one")
    return run


def run_main(kind: str, run: Callable[[argparse.Namespace], int], argv: Sequence[str] | None) -> int:
    """Parse and run; an error of the user is one line and exit code 2, and a signal 128 plus its number."""
    parser = argparse.ArgumentParser(prog=f"microg4m train {kind}", description=run.__doc__)
    add_training_options(parser, kind)

    def execute() -> int:
        try:
            return run(parser.parse_args(argv))
        except MainProcessError:
            return 2

    return run_command(f"train {kind}", execute)


def exit_process(code: int) -> NoReturn:
    """End a launched process; gloo can abort in its own teardown, after all work is done."""
    sys.stdout.flush()
    sys.stderr.flush()
    if rank_and_world_size()[1] > 1:
        os._exit(code)
    sys.exit(code)
