"""The pages of the Python reference: every public name of every package, from the lists in their ``__init__.py``."""

from __future__ import annotations

import importlib

from .links import PROJECT

# package -> its guides
GUIDES = {
    "microg4m_hf": "`import microg4m_hf` takes a few milliseconds; the packages below are loaded on first use.",
    "microg4m_hf.bench": "Guides: [reports and the gap](../report.md), [the explorer](../explorer.md).",
    "microg4m_hf.curate": "Guide: [curate a dataset of your own](../curate.md).",
    "microg4m_hf.data": "Guides: [load the dataset](../loading.md), [the dataset on the Hub](../publishing.md), "
    "[splits and leak](../concepts/splits.md).",
    "microg4m_hf.inference": "Guides: [vision-language models](../vision_language_models.md), "
    "[served models](../served_models.md).",
    "microg4m_hf.metrics": "Guides: [scores of actions](../har_scores.md), [protocols](../concepts/protocols.md), "
    "[intervals and tests](../concepts/intervals.md).",
    "microg4m_hf.models": "Guide: [models](../models.md).",
    "microg4m_hf.training": "Guide: [fine-tuning](../fine_tuning.md). The keys of a recipe are on "
    "[a page of their own](recipe_keys.md).",
}
# Modules whose content is public as a whole.
MODULES = {
    "microg4m_hf.errors": "Every error that you can cause is a `MicroG4MError`; the command line prints it on one line "
    "and ends with exit code 2. [Troubleshooting](../troubleshooting.md) lists the messages.",
    "microg4m_hf.taxonomy": "The 50 actions: names, groups, ids and labels.",
}


def packages() -> list[str]:
    """Return the packages that list public names."""
    root = PROJECT / "src"
    lists = [path for path in root.rglob("__init__.py") if "attach(__name__)" in path.read_text(encoding="utf-8")]
    return sorted(".".join(path.parent.relative_to(root).parts) for path in lists)


def names_of(package: str) -> list[str]:
    """Return the public names of a package that are not packages or modules themselves, in alphabetical order."""
    others = {*packages(), *MODULES}
    names = importlib.import_module(package).__all__
    return sorted((one for one in names if f"{package}.{one}" not in others and one != "__version__"), key=str.lower)


def page_of(package: str) -> str:
    """Return the page of a package or module; packages in another package share its page.

    >>> page_of("microg4m_hf.bench.explorer")
    'reference/bench.md'
    """
    return f"reference/{[*package.split('.'), package][1]}.md"


def pages() -> dict[str, str]:
    """Return page -> Markdown, whose ``:::`` lines mkdocstrings replaces."""
    found: dict[str, str] = {}
    rows = ["# Reference\n", "| package or page | content |\n| --- | --- |"]
    for package in packages():
        page = page_of(package)
        first = (importlib.import_module(package).__doc__ or "").split("\n\n")[0]
        entries = "\n\n".join(f"::: {package}.{name}" for name in names_of(package))
        mark = "##" if page in found else "#"
        text = "\n\n".join(part for part in (f"{mark} `{package}`", first, GUIDES.get(package, ""), entries) if part)
        found[page] = f"{found.get(page, '')}{text}\n\n"
        listed = ", ".join(f"[`{name}`][{package}.{name}]" for name in names_of(package))
        rows.append(f"| [`{package}`]({page.rpartition('/')[2]}) | {listed} |")
    for module, text in MODULES.items():
        entry = f"::: {module}\n    options:\n      show_root_heading: false\n      show_root_toc_entry: false"
        found[page_of(module)] = f"# `{module}`\n\n{text}\n\n{entry}\n"
        rows.append(f"| [`{module}`]({page_of(module).rpartition('/')[2]}) | {text} |")
    rows += [
        "| [Commands](commands.md) | every command and option of `microg4m` |",
        "| [Recipe keys](recipe_keys.md) | every key of a recipe: type, default, meaning |",
        "| [Recipes](recipes.md) | the built-in recipes |",
    ]
    found["reference/index.md"] = "\n".join(rows) + "\n"
    return found
