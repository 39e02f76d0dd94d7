"""Check a card as the Hub reads it, and render it as the Hub shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard, RepoCard, SpaceCard

KINDS: dict[str, type[RepoCard]] = {"dataset": DatasetCard, "model": ModelCard, "space": SpaceCard}
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}  # of a Space, as the Hub documents them
WIDE = 88  # characters of a code line that the column of a card shows on a desktop
_STYLE = """
body { margin: 0; font: 16px/1.7 system-ui, sans-serif; color: #374151 }
main { max-width: 768px; margin: 24px auto; padding: 0 16px }
h1, h2, h3 { color: #111827; line-height: 1.3 }
pre, table { display: block; overflow-x: auto }
pre { background: #f9fafb; border: 1px solid #e5e7eb; border-radius: 8px; padding: 12px; font-size: 14px }
table { border-collapse: collapse; font-size: 14px }
td, th { border: 1px solid #e5e7eb; padding: 5px 10px; text-align: left }
img { max-width: 100% }
a { color: inherit }
"""


def split_card(folder: Path) -> tuple[str, str]:
    """Return the front matter and the text of a card."""
    _, front_matter, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return front_matter, text


def faults_of_card(folder: Path, kind: str) -> list[str]:
    """Return what is wrong with the card of a repository, whose files are in the folder.

    Args:
        folder: The files of the repository; large ones may be missing.
        kind: ``"dataset"``, ``"model"`` or ``"space"``.
    """
    return [*_metadata_faults(folder, kind), *_text_faults(folder)]


def _metadata_faults(folder: Path, kind: str) -> Iterator[str]:
    front_matter, text = split_card(folder)
    fields = yaml.safe_load(front_matter)
    card = KINDS[kind]((folder / "README.md").read_text(encoding="utf-8"), ignore_metadata_errors=False)
    assert card.text.strip() == text.strip()
    kept = yaml.safe_load(card.data.to_yaml())
    yield from (f"the Hub's own class drops or changes {key}" for key in fields if kept.get(key) != fields[key])
    if not re.fullmatch(r"[a-z0-9.-]+", str(fields.get("license", "unknown"))):
        yield f"license {fields['license']!r} is not one of the Hub"
    if kind == "space":
        yield from (f"{key} is missing" for key in ("title", "emoji", "sdk", "sdk_version") if not fields.get(key))
        yield from (f"{key} is no color" for key in ("colorFrom", "colorTo") if fields.get(key) not in COLORS)
        if len(fields.get("short_description", "")) > 60:
            yield "short_description is longer than 60 characters"
        if not (folder / fields["app_file"]).is_file():
            yield "there is no app_file"


def _text_faults(folder: Path) -> Iterator[str]:
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    _, text = split_card(folder)
    tokens = markdown.parse(text)
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    if levels[:1] != [1] or levels.count(1) != 1 or any(b > a + 1 for a, b in pairwise(levels)):
        yield f"the levels of the headings are {levels}"
    for token, inside in pairwise(tokens):
        if token.type == "th_open" and not inside.content.strip():
            yield "a table has an empty head"
    for token in tokens:
        if token.type == "fence" and token.info != "text":
            yield from (f"a code line is too long: {line}" for line in token.content.splitlines() if len(line) > WIDE)
        for part in token.children or ():
            target = part.attrGet("src" if part.type == "image" else "href")
            if part.type == "image" and not part.content:
                yield f"{target} has no text for those who cannot see it"
            if target and not re.match(r"https://|#", str(target)) and not (folder / str(target)).is_file():
                yield f"{target} is not in the repository"
    yield from (
        f"{found[0]} was not filled in" for found in re.finditer(r"\{\{.*?\}\}|\{[a-z_.]+(:\S+)?\}", _prose(text))
    )


def _prose(text: str) -> str:
    """The text without code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def render_card(folder: Path) -> Path:
    """Write ``card.html`` beside the card: the text in a column as wide as on the Hub, the front matter hidden."""
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    body = markdown.render(split_card(folder)[1])
    page = folder / "card.html"
    page.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{folder.name}</title><style>{_STYLE}</style><main>{body}</main></html>",
        encoding="utf-8",
    )
    return page
