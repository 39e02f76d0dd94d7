"""``--help`` of every command: each option is explained and in its place, and there is an example that works."""

from __future__ import annotations

import pytest

from docs.scripts.commands import commands
from microg4m_hf.cli.help import EXAMPLES
from microg4m_hf.training.recipe import Recipe, VlmRecipe
from microg4m_hf.training.recipes.recipe_keys import recipe_keys
from tests.support.documents import parse_command

COMMANDS = dict(commands())


def test_every_command_has_an_example() -> None:
    assert sorted(set(COMMANDS) - set(EXAMPLES)) == []  # add one in cli/help.py
    assert sorted(set(EXAMPLES) - set(COMMANDS)) == []


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help(command: str) -> None:
    parser = COMMANDS[command]
    text = parser.format_help()
    assert parser.description
    assert f"example:\n  {EXAMPLES[command]}" in text
    assert EXAMPLES[command].startswith(f"microg4m {command}")
    shell, _, _ = EXAMPLES[command].partition(" > ")
    assert parse_command(shell)
    assert [action.dest for action in parser._actions if not action.help] == []
    options = text.partition("\noptions:\n")[2].partition("\n\n")[0]
    shown = [line.split()[0] for line in options.splitlines() if line.startswith("  -")]
    names = ["--help" if name == "-h," else name for name in shown]
    assert names == sorted(names)


@pytest.mark.parametrize(("kind", "recipe"), [("har", Recipe), ("vlm", VlmRecipe)])
def test_training_lists_every_recipe_key(kind: str, recipe: type) -> None:
    text = COMMANDS[f"train {kind}"].format_help()
    keys = recipe_keys(kind)
    assert {key.name.partition(".")[0] for key in keys} == set(recipe.__dataclass_fields__)  # type: ignore[attr-defined]
    for key in keys:
        assert key.meaning.endswith("."), f"{key.name}: explain it in a string below the field"
        assert f"  {key.name} ({key.type}" in text


def test_defaults_are_those_of_a_recipe() -> None:
    defaults = {key.name: key.default for key in recipe_keys("har")}
    assert defaults["optim.lr"] == "0.1"
    assert defaults["data.short_side"] == "[256, 320]"
    assert defaults["loop.ema"] == "null" and defaults["data.validation_crop"] == "true"
    assert defaults["data.num_frames"] == "required"
