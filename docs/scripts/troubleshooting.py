"""The pages that list the error messages, each with what to do about it."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from microg4m_hf import exits

from .commands import cell
from .messages import Message, collect

_OPEN = "Check the path, and that you may read the file."
_RELEASE = (
    "Correct the line in the file, or download the release again. `microg4m data check` lists every fault; "
    '`read_release(…, on_error="skip")` continues without such rows and counts them.'
)
_CLIP = (
    "Download or copy the clip again. `microg4m data check --decode` lists all such clips; `data.on_error=skip` and "
    "`predict har --on-error skip` continue without them."
)
_ARCHIVE = "Download `videos.zip` again: this one is damaged, or not that of the release. Nothing of it was unpacked."
_WEIGHTS = "Check the file, or download it again (`microg4m weights verify`)."
_PREDICTIONS = "Correct the file; [the accepted forms](../har_scores.md#inputs) are in the guide."


class Area(NamedTuple):
    """One page of messages."""

    name: str
    title: str
    text: str
    files: dict[str, str]
    """Prefix of a file -> what to do when the message itself does not say it."""


AREAS = (
    Area(
        "data",
        "The dataset",
        "Loading, checking and publishing. Faults in files are reported with file, line and value before the message.",
        {
            "data/unpack": _ARCHIVE,
            "data/check": _RELEASE,
            "data/publish/plan": _RELEASE,
            "data/publish": "Run the same command again; if it stays, report it with the output of `microg4m env`.",
            "data/release": _RELEASE,
            "data/sources": "Check the network and `HF_ENDPOINT`, or work [offline](../caches.md#without-network).",
            "data/tables": _RELEASE,
            "data/builder": "Choose another split, domain or scheme; `microg4m data stats` shows what each one has.",
            "data/features": "Update `datasets`.",
            "data/": "Pass one of the values that the reference of the function lists.",
            "hub": "Log in with `hf auth login`, check the name of the repository and the network, and run it again.",
            "storage": "Use another folder, or free some space.",
            "scratch": "Use another folder, or free some space.",
        },
    ),
    Area("clips", "Clips", "Opening and decoding video files.", {"data/video": _CLIP}),
    Area(
        "scores",
        "Scores",
        "Reading predictions and references, and scoring them.",
        {
            "metrics/text/base": "Pass one prediction for each reference.",
            "metrics/": _PREDICTIONS,
        },
    ),
    Area(
        "models",
        "Models and weights",
        "Building networks, calling them, and reading checkpoints.",
        {
            "models/checkpoint_reader": _WEIGHTS,
            "models/download": "Run the same command again.",
            "models/weights": "Choose a name of `microg4m weights list`.",
            "models/pyslowfast": _WEIGHTS,
            "models/": "Change the input; the docstring of the method gives the shapes.",
        },
    ),
    Area(
        "training",
        "Training",
        "Recipes, run folders, checkpoints and the loop.",
        {
            "training/recipe": "Change the value; [all keys](../reference/recipe_keys.md) with their types and limits.",
            "settings": "Change the value; see [all keys](../reference/recipe_keys.md), or `--help` for an option.",
            "safe_yaml": "Correct the file; `microg4m train show demo` prints one that is right.",
            "training/jhmdb": "Download JHMDB again; the message names the file.",
            "training/ava_folder": "Correct the line; a row is `clip, frame, x1, y1, x2, y2, action id, person`.",
            "training/checkpoints": "Remove the damaged checkpoint; the run resumes at the one before.",
            "training/loader": "Lower `data.workers`, or raise the limit that the message names.",
            "training/": "Change the option or key that the message names.",
        },
    ),
    Area(
        "prediction",
        "Captions and answers",
        "Models in this process, behind a server, or in another environment.",
        {
            "inference/isolated": "Try the interpreter by hand: `envs/owl/bin/python -c 'import torch'`.",
            "inference/vlm/loading": "Check the name, log in with `hf auth login`, or give a folder with the files.",
            "inference/": "Change the option or argument that the message names.",
        },
    ),
    Area(
        "curation",
        "Curation",
        "Making a dataset from films: work folders, stages, reviews and releases.",
        {
            "curate/cvat": "Export the annotations again, in the format that the guide names.",
            "curate/label_studio": "Export the annotations again, in the format that the guide names.",
            "curate/": "Change what the message names; `microg4m curate status WORK` shows each stage.",
        },
    ),
    Area(
        "commands",
        "Commands and reports",
        "The command line, reports, the explorer, and packages that are missing.",
        {
            "bench/explorer": "Name the dataset of the predictions with `--data-dir` or `--source`.",
            "bench/": "Check the run folder; `microg4m report` lists every run that it cannot read, with the reason.",
            "cli/": "Change the option that the message names.",
            "": "See the options of the command with `--help`.",
        },
    ),
)


def area_of(message: Message) -> tuple[Area, str]:
    """Return the page of a message, and what to do about it: its own words, or those for its file."""
    matches = [(prefix, area) for area in AREAS for prefix in area.files if message.file.startswith(prefix)]
    prefix, area = max(matches, key=lambda match: len(match[0]))
    if re.fullmatch(r"(?:\w+ ){1,3}…\.?", message.cure):
        return area, "Use one of the values that the message lists."
    return area, _sentence(message.cure) if message.cure else area.files[prefix]


def pages() -> dict[str, str]:
    """Return page -> Markdown."""
    rows: dict[str, dict[str, None]] = {area.name: {} for area in AREAS}
    for message in collect():
        if not re.search("[a-z]{3}", message.problem):
            continue  # a place for words that another file provides
        area, cure = area_of(message)
        own = cell(cure) if message.cure else cure
        rows[area.name].setdefault(f"| {cell(message.problem)} | {own} |")
    found = {}
    for area in AREAS:
        table = "| message | what to do |\n| --- | --- |\n" + "\n".join(sorted(rows[area.name], key=_first_word))
        text = (
            f"{area.text} `…` stands for a value of yours. A command says `--data-dir` where Python says `data_dir=`."
        )
        found[f"troubleshooting/{area.name}.md"] = f"# {area.title}: messages\n\n{text}\n\n{table}\n"
    found["troubleshooting/commands.md"] += _system_messages()
    return found


def _first_word(row: str) -> str:
    return row.lower().lstrip("|… :,'\"-(")


def _system_messages() -> str:
    rows = [f"| {os.strerror(number)} | {_sentence(advice)} |" for number, advice in sorted(exits._ADVICE.items())]
    rows += [f"| {os.strerror(number)} | Use another path. |" for number in exits._ABOUT_A_PATH]
    return (
        "\n## Messages of the operating system\n\nAfter the path, which the system refused.\n\n"
        "| message | what to do |\n| --- | --- |\n" + "\n".join(rows) + "\n\n## Messages about options\n\n"
        "| message | what to do |\n| --- | --- |\n"
        "| unrecognized arguments: … | `microg4m GROUP COMMAND --help` lists the options. |\n"
        "| the following arguments are required: … | Add the option that the message names. |\n"
        "| argument …: invalid choice: … (choose from …) | Use one of the listed words. |\n"
        "| argument …: invalid int value: … | Give a whole number. |\n"
        "| argument …: invalid float value: … | Give a number. |\n"
        "| argument …: expected one argument | Write a value after the option. |\n"
        "| interrupted; run the same command again to continue | Nothing is wrong: you pressed Ctrl-C. |\n"
    )


def _sentence(text: str) -> str:
    if re.match(r"[a-z]+(?:[ ,;]|$)", text):  # a word, not the name of an argument or a command
        text = text[:1].upper() + text[1:]
    return text + ("" if text.endswith((".", "?", "!", "…")) else ".")
