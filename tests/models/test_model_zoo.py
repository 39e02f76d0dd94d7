"""The page of the published models says what the registry, the weights and the recipes say."""

from __future__ import annotations

import re

from microg4m_hf.models.registry import PUBLISHED
from microg4m_hf.models.weights import WEIGHTS
from microg4m_hf.training.recipes import recipe_file
from tests import zoo_page
from tests.support.documents import parse_command


def test_the_page_is_that_of_the_registry() -> None:
    text = zoo_page.PAGE.read_text(encoding="utf-8")
    assert text == zoo_page.page(), "run python -m tests.zoo_page --write"
    rows = {line.split("|")[1].strip(" `"): line.split(" | ") for line in text.splitlines() if line.startswith("| `")}
    assert list(rows) == list(PUBLISHED)
    for name, cells in rows.items():
        assert len(cells) == 12
        assert cells[2] == f"{PUBLISHED[name].parameters:,}"
        for recipe in re.findall(r"`(\w+)`", cells[10]):
            assert recipe_file(recipe).is_file()
        assert f"`{name}`" in cells[10] or not WEIGHTS[name].released


def test_every_command_is_one_that_the_program_takes() -> None:
    for name in PUBLISHED:
        lines = zoo_page.commands(name)
        groups = [line.split()[1] for line in lines]
        assert groups == ["reproduce", *(["train"] if WEIGHTS[name].released else []), "models", "models"]
        for line in lines:
            assert parse_command(line)
