"""The pages of the command line and of the recipes, from the parsers and the dataclasses that the program uses."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from microg4m_hf.cli.help import EXAMPLES
from microg4m_hf.cli.main import GROUPS, make_parser
from microg4m_hf.training.recipes import list_recipes
from microg4m_hf.training.recipes.recipe_keys import recipe_keys


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the words of every command, and its parser."""
    for group in GROUPS:
        yield from _commands(make_parser(group), group)


def _commands(parser: argparse.ArgumentParser, words: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield words, parser
    for action in groups:
        for name, subparser in action.choices.items():
            yield from _commands(subparser, f"{words} {name}")


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments that ``--help`` shows: those without a name, then the options by name."""
    shown = [one for one in parser._actions if one.help != argparse.SUPPRESS and "--help" not in one.option_strings]
    return sorted(shown, key=lambda action: max(action.option_strings, key=len, default=""))


def pages() -> dict[str, str]:
    """Return page -> Markdown."""
    return {
        "reference/commands.md": _commands_page(),
        "reference/recipe_keys.md": _keys_page(),
        "reference/recipes.md": _recipes_page(),
    }


def _commands_page() -> str:
    parts = [
        "# Commands\n\n`microg4m GROUP --help` and `microg4m GROUP COMMAND --help` print the same. Every command "
        "returns 0 for success, 1 when a check found faults, 2 for an error that you can cause, which is one line on "
        "standard error, and 128 plus the number of a signal that ended it (130 for Ctrl-C).",
    ]
    group = ""
    for words, parser in commands():
        if words.split()[0] != group:
            group = words.split()[0]
            parts.append(f"## {group}\n\n{_sentence(GROUPS[group][1])}")
        if words != group:
            parts.append(f"### {words}\n\n{_sentence(parser.description or '')}")
        parts.append(f"```text\n{EXAMPLES.get(words, f'microg4m {words}')}\n```")
        rows = [_row(action) for action in options_of(parser)]
        if rows:
            parts.append(keys_table("| argument | meaning |\n| --- | --- |\n" + "\n".join(rows)))
    return "\n\n".join(parts) + "\n"


def _row(action: argparse.Action) -> str:
    value = action.metavar or (None if action.nargs == 0 else action.dest.upper())
    if isinstance(value, tuple):
        value = " ".join(value)
    name = max(action.option_strings, key=len, default="")
    shown = f"{name} {value}" if name and value else name or str(action.metavar or action.dest)
    required = " **Required.**" if name and action.required else ""
    choices = "" if not action.choices else f" One of {', '.join(f'`{choice}`' for choice in action.choices)}."
    formatted = (action.help or "") % {"default": action.default} if "%(" in (action.help or "") else action.help or ""
    return f"| `{shown}` | {cell(_sentence(formatted))}{choices}{required} |"


def _keys_page() -> str:
    parts = [
        "# Recipe keys\n\nA recipe is a YAML file. Set a key in the file, or after the options of a command: "
        "`microg4m train har --config demo loop.batch=16`. `microg4m train show NAME` prints a built-in recipe. A "
        "change of a key marked * keeps the variant of a recipe, because it does not change what is learned; keys "
        "marked † may change when a run is resumed.",
    ]
    for kind, title in (("har", "Action models"), ("vlm", "Adapters of vision-language models")):
        parts.append(f"## {title}\n\nFor `microg4m train {kind}`.")
        parts.append("| key | type and default | meaning |\n| --- | --- | --- |")
        rows = []
        for key in recipe_keys(kind):
            marks = ("*" if key.practical else "") + ("†" if key.resumable else "")
            values = f" Allowed: {key.allowed}." if key.allowed else ""
            kind_of = f"`{key.type.replace(' | ', ' or ')}`"
            default = "required" if key.default == "required" else f"default `{key.default}`"
            rows.append(f"| `{key.name}`{marks} | {kind_of}, {default} | {cell(key.meaning)}{values} |")
        parts[-1] = keys_table(parts[-1] + "\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _recipes_page() -> str:
    rows = [f"| `{name}` | `{model}` | {variant} | {purpose} |" for name, model, variant, purpose in list_recipes()]
    return (
        "# Recipes\n\nGive a name to `--config` or `load_recipe`. `microg4m train show NAME` prints the file. See "
        "[fine-tuning](../fine_tuning.md) for what the variants mean, and [memory and time](../gpu_memory.md) for what "
        "they need.\n\n| name | model | variant | purpose |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "")) and text[-1:] == "." else ".")


def keys_table(table: str) -> str:
    """Mark a table whose first column must not be broken."""
    return f'<div class="keys" markdown>\n\n{table}\n\n</div>'


def cell(text: str) -> str:
    """Escape what would end a cell of a table or begin HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;")
