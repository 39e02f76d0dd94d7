"""The pages that list the error messages, each with what to do about it."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from microg4m_hf import exits

from .commands import cell
from .messages import Message, collect

# What to do about messages that do not say it themselves, because another part of the message does: beginning of the
# file, words of the message, advice.
SHARED = (
    ("settings", "must be|it can be", "Give a value as the message says; [all keys](../reference/recipe_keys.md)."),
    ("training/recipe_io", "must be", "Give a value as the message says; [all keys](../reference/recipe_keys.md)."),
    ("safe_yaml", "not valid YAML", "Correct the line; `microg4m train show demo` prints a recipe that is right."),
    ("data/sources", "the Hub cannot be", "Check the network, or work [offline](../caches.md#without-network)."),
    ("hub", "cannot", "Do what the reason in the message says: log in, choose another name, wait, or run it again."),
    ("extras", "needs the package", "Run the `pip install` that ends the message."),
    ("models/download", "sent a web page|the server", "Put the file into a folder and set `MICROG4M_WEIGHTS` to it."),
)


class Area(NamedTuple):
    """One page of messages."""

    name: str
    title: str
    text: str
    files: tuple[str, ...]
    """The beginnings of the files whose messages are on the page."""


AREAS = (
    Area(
        "data",
        "The dataset",
        "Loading, checking and publishing. Faults in files are reported with file, line and value before the message.",
        ("data/", "hub", "storage", "scratch"),
    ),
    Area("clips", "Clips", "Opening and decoding video files.", ("data/video",)),
    Area("scores", "Scores", "Reading predictions and references, and scoring them.", ("metrics/",)),
    Area("models", "Models and weights", "Building networks, calling them, and reading checkpoints.", ("models/",)),
    Area(
        "training",
        "Training",
        "Recipes, run folders, checkpoints and the loop.",
        ("training/", "settings", "safe_yaml"),
    ),
    Area(
        "prediction",
        "Captions and answers",
        "Models in this process, behind a server, or in another environment.",
        ("inference/",),
    ),
    Area(
        "curation",
        "Curation",
        "Making a dataset from films: work folders, stages, reviews and releases.",
        ("curate/",),
    ),
    Area(
        "commands",
        "Commands and reports",
        "The command line, reports, the explorer, and packages that are missing.",
        ("bench/", "cli/", ""),
    ),
)


def area_of(message: Message) -> tuple[Area, str]:
    """Return the page of a message, and what to do about it: its own words, or those that it shares with others."""
    matches = [(prefix, area) for area in AREAS for prefix in area.files if message.file.startswith(prefix)]
    area = max(matches, key=lambda match: len(match[0]))[1]
    if re.fullmatch(r"(?:\w+ ){1,3}…\.?", message.cure):
        return area, "Use one of the values that the message lists."
    if re.search("[a-z]{2}", message.cure):
        return area, _sentence(message.cure)
    mine = (row for row in SHARED if message.file.startswith(row[0]) and re.search(row[1], message.problem))
    return area, next((advice for _, _, advice in mine), "")


def pages() -> dict[str, str]:
    """Return page -> Markdown."""
    rows: dict[str, dict[str, None]] = {area.name: {} for area in AREAS}
    for message in collect():
        if not re.search("[a-z]{3}", message.problem):
            continue  # a place for words that another file provides
        area, cure = area_of(message)
        own = cell(cure) if re.search("[a-z]{2}", message.cure) else cure
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
    rows = [f"| {os.strerror(number)} | {_sentence(advice)} |" for number, advice in sorted(exits.ADVICE.items())]
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
