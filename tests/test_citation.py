"""There is one BibTeX entry, and every place that shows one shows it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from microg4m_hf.bench.published import PAPER
from microg4m_hf.citation import BIBTEX

PROJECT = Path(__file__).resolve().parent.parent
ENTRY = re.compile(r"^@\w+\{.*?^\}\n", re.M | re.S)
FIELDS = {key: " ".join(value.split()) for key, value in re.findall(r"(\w+)\s*= \{(.*?)\}", BIBTEX, re.S)}


def test_every_entry_is_the_same() -> None:
    found: dict[str, list[str]] = {}
    for path in [*PROJECT.glob("*.md"), *(path for name in ("src", "docs", "metrics") for path in _texts(name))]:
        entries = ENTRY.findall(path.read_text(encoding="utf-8"))
        if entries:
            found[path.relative_to(PROJECT).as_posix()] = entries
    assert all(entries == [BIBTEX] for entries in found.values())
    cards = {f"{folder}/microg4m_{name}/README.md" for folder in METRICS for name in ("har", "caption", "vqa")}
    assert found.keys() == {"README.md", "src/microg4m_hf/citation.py", *cards}


METRICS = ("metrics", "src/microg4m_hf/metrics/modules")


def _texts(folder: str) -> list[Path]:
    return [path for path in (PROJECT / folder).rglob("*") if path.suffix in (".md", ".py", ".yaml")]


def test_metrics_cite_it() -> None:
    import evaluate

    for name in ("har", "caption", "vqa"):
        module = evaluate.load(str(PROJECT / "metrics" / f"microg4m_{name}"))
        assert module.citation == BIBTEX


def test_citation_file_has_the_same_fields() -> None:
    cff = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cff["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= cff.keys()
    paper = cff["preferred-citation"]
    authors = [f"{one['given-names']} {one['family-names']}" for one in paper["authors"]]
    assert authors == FIELDS["author"].split(" and ") and len(authors) == 12
    assert (paper["title"], paper["url"], str(paper["year"])) == (FIELDS["title"], FIELDS["url"], FIELDS["year"])
    assert paper["conference"]["name"] == paper["collection-title"] == FIELDS["booktitle"]
    assert FIELDS["title"] in PAPER
