"""The pages of the Python reference: every public name of every package, from the lists in their ``__init__.py``."""

from __future__ import annotations

import importlib

# package -> what the page says first, after the title
DOORS = {
    "microg4m_hf": "`import microg4m_hf` takes a few milliseconds; the packages below are loaded on first use.",
    "microg4m_hf.data": "Guides: [the dataset on the Hub](../publishing.md), [splits and leak](../concepts/splits.md).",
    "microg4m_hf.metrics": "Guides: [scores of actions](../har_scores.md), [protocols](../concepts/protocols.md), "
    "[intervals and tests](../concepts/intervals.md).",
    "microg4m_hf.models": "Guide: [models](../models.md).",
    "microg4m_hf.inference": "Guides: [vision-language models](../vision_language_models.md), "
    "[served models](../served_models.md).",
    "microg4m_hf.training": "Guide: [fine-tuning](../fine_tuning.md). The keys of a recipe are on "
    "[a page of their own](recipe_keys.md).",
    "microg4m_hf.bench": "Guides: [reports and the gap](../report.md), [the explorer](../explorer.md).",
}
# Modules whose content is public as a whole.
MODULES = {
    "microg4m_hf.taxonomy": ("taxonomy", "The 50 actions: names, groups, ids and labels."),
    "microg4m_hf.errors": (
        "errors",
        "Every error that you can cause is a `MicroG4MError`; the command line prints it on one line and ends with "
        "exit code 2. [Troubleshooting](../troubleshooting.md) lists the messages.",
    ),
}


def names_of(package: str) -> list[str]:
    """Return the public names of a package that are not packages themselves, functions and classes by name."""
    module = importlib.import_module(package)
    packages = {*DOORS, *MODULES, f"{package}.explorer"}
    names = [name for name in module.__all__ if f"{package}.{name}" not in packages and name != "__version__"]
    return sorted(names, key=str.lower)


def page_of(package: str) -> str:
    """Return the name of the page of a package or module."""
    short = package.removeprefix("microg4m_hf.")
    return f"reference/{short}.md"


def pages() -> dict[str, str]:
    """Return page -> Markdown, whose ``:::`` lines mkdocstrings replaces."""
    found = {}
    rows = ["# Reference\n", "| | |\n| --- | --- |"]
    for package, text in DOORS.items():
        names = names_of(package)
        first = (importlib.import_module(package).__doc__ or "").split("\n")[0]
        entries = "\n\n".join(f"::: {package}.{name}" for name in names)
        found[page_of(package)] = f"# `{package}`\n\n{first}\n\n{text}\n\n{entries}\n"
        listed = ", ".join(f"[`{name}`][{package}.{name}]" for name in names)
        rows.append(f"| [`{package}`]({page_of(package).rpartition('/')[2]}) | {listed} |")
    for module, (short, text) in MODULES.items():
        entry = f"::: {module}\n    options:\n      show_root_heading: false\n      show_root_toc_entry: false"
        found[page_of(module)] = f"# `{module}`\n\n{text}\n\n{entry}\n"
        rows.append(f"| [`{module}`]({short}.md) | {text} |")
    rows += [
        "| [Commands](commands.md) | every command and option of `microg4m` |",
        "| [Recipe keys](recipe_keys.md) | every key of a recipe: type, default, meaning |",
        "| [Recipes](recipes.md) | the built-in recipes |",
    ]
    found["reference/index.md"] = "\n".join(rows) + "\n"
    return found
