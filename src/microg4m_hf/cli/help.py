"""The help of the commands: options in alphabetical order, and an example for every command."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

# command -> what to type; `tests/cli/test_help.py` parses each one.
EXAMPLES = {
    "compare": "microg4m compare vqa runs/mine runs/blind --source sample",
    "curate actions": "microg4m curate actions work --model runs/mine",
    "curate export-review": "microg4m curate export-review work --to cvat --out annotations",
    "curate import-review": "microg4m curate import-review work annotations --to cvat --reviewer anna",
    "curate init": "microg4m curate init films --out work --domain real",
    "curate release": "microg4m curate release work --out release",
    "curate review": "microg4m curate review work --reviewer anna",
    "curate run": "microg4m curate run work --until people",
    "curate status": "microg4m curate status work --clips",
    "curate texts": "microg4m curate texts work --model Qwen/Qwen2.5-VL-7B-Instruct",
    "data check": "microg4m data check --data-dir /data/microg4m --decode",
    "data export-ava": "microg4m data export-ava --source sample --out ava",
    "data push": "microg4m data push my-name/MicroG-4M --data-dir /data/microg4m --private",
    "data sample": "microg4m data sample --out sample",
    "data stats": "microg4m data stats --source sample",
    "data unpack": "microg4m data unpack --data-dir /data/microg4m",
    "demo": "microg4m demo --out demo_output",
    "env": "microg4m env",
    "explore": "microg4m explore runs/* --source sample",
    "gap leak": "microg4m gap leak runs/official runs/source_disjoint",
    "gap orientation": "microg4m gap orientation runs/mine --out gap",
    "gap transfer": "microg4m gap transfer --earth jhmdb.csv --earth-references truth.csv --space predictions.csv",
    "metrics push": "microg4m metrics push my-name --private",
    "models convert": "microg4m models convert checkpoint_epoch_00030.pyth i3d --name i3d_8x8_r50",
    "models info": "microg4m models info x3d_s",
    "models push-released": "microg4m models push-released my-name --only x3d_s --private",
    "models list": "microg4m models list --all",
    "predict caption": "microg4m predict caption --model Qwen/Qwen2.5-VL-7B-Instruct",
    "predict har": "microg4m predict har --model runs/mine --split test",
    "predict vqa": "microg4m predict vqa --model blind --source sample --out runs/blind",
    "push": "microg4m push runs/mine my-name/my-model --private",
    "report": "microg4m report runs/* mine=predictions.csv --out report",
    "reproduce caption": "microg4m reproduce caption GPT-4o --predictions captions.jsonl --data-dir microg4m",
    "reproduce gap": "microg4m reproduce gap --jhmdb /data/jhmdb --data-dir /data/microg4m",
    "reproduce har": "microg4m reproduce har i3d_8x8_r50 --predictions detections_test.csv --data-dir /data/microg4m",
    "reproduce vqa": "microg4m reproduce vqa Qwen/Qwen2.5-VL-7B-Instruct --data-dir /data/microg4m",
    "score caption": "microg4m score caption --predictions captions.jsonl --metrics bleu,cider,rouge_l,sbert",
    "score har": "microg4m score har --predictions detections_test.csv --data-dir /data/microg4m --by domain",
    "score vqa": "microg4m score vqa --predictions runs/blind --source sample",
    "train har": "microg4m train har --config demo --out runs/mine loop.max_steps=50",
    "train list": "microg4m train list",
    "train show": "microg4m train show demo > mine.yaml",
    "train vlm": "microg4m train vlm --config qwen2_5_vl_lora --push-to-hub my-name/adapter",
    "watch": "microg4m watch film.mp4 --model runs/mine --out watched",
    "weights fetch": "microg4m weights fetch i3d_nln_8x8_r50",
    "weights list": "microg4m weights list",
    "weights verify": "microg4m weights verify",
    "weights where": "microg4m weights where i3d_nln_8x8_r50 --pretrained",
}


class SortedHelp(argparse.RawDescriptionHelpFormatter):
    """Show options by name; arguments without a name keep their order, which is the order to type them in."""

    def add_arguments(self, actions: Iterable[argparse.Action]) -> None:
        super().add_arguments(_by_name(actions))

    def add_usage(self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, *more: Any) -> None:
        super().add_usage(usage, _by_name(actions), groups, *more)


def _by_name(actions: Iterable[argparse.Action]) -> list[argparse.Action]:
    return sorted(actions, key=lambda action: max(action.option_strings, key=len, default="").lstrip("-"))


def finish_help(parser: argparse.ArgumentParser, command: str) -> None:
    """Sort the options of a parser, and end its help and that of its subcommands with an example.

    Args:
        parser: The parser of a group, with all its options.
        command: The words of the command after ``microg4m``.
    """
    parser.formatter_class = SortedHelp
    if command in EXAMPLES:
        example = f"example:\n  {EXAMPLES[command]}"
        parser.epilog = "\n\n".join(filter(None, [example, parser.epilog]))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help for choice in action._choices_actions}
            for name, subparser in action.choices.items():
                subparser.description = subparser.description or helps.get(name)
                finish_help(subparser, f"{command} {name}")
