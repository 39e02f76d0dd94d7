"""Public functions are documented in one form, and spelling is American."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
DOORS = ("data", "metrics", "models", "inference", "training", "bench", "bench.explorer")
BRITISH = re.compile(
    r"data sets?\b|colour|normalis|optimis|quantis|behaviour|favour|neighbour|centre|\bgrey|labelled\b|recognis|"
    r"initialis|organis|serialis|minimis|maximis|summaris|analyse|modelling|cancelled|licence\b|whilst|artefact",
    re.IGNORECASE,
)
# Public names, keys of results and old option names keep their spelling.
KEPT = re.compile(r"labelled_boxes|test_clips_with_neighbour(_share)?|\bcentre(_crop)?\b|--quantise|quantisation")


def _public() -> list[tuple[str, object]]:
    found = []
    for door in DOORS:
        module = importlib.import_module(f"microg4m_hf.{door}")
        found += [(f"{door}.{name}", getattr(module, name)) for name in module.__all__]
    return [(name, value) for name, value in found if inspect.isfunction(value)]


@pytest.mark.parametrize(("name", "function"), _public(), ids=[name for name, _ in _public()])
def test_public_functions_document_their_arguments(name: str, function: object) -> None:
    text = inspect.getdoc(function) or ""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    assert text.split("\n")[0].endswith((".", ":", "?"))
    if signature.parameters:
        section = text.partition("Args:")[2]
        missing = [parameter for parameter in signature.parameters if not re.search(rf"\b{parameter}\b", section)]
        assert not missing, f"{name} does not document {missing}"
    if signature.return_annotation not in (None, "None", inspect.Signature.empty):
        assert re.search(r"^(Returns|Yields):|\breturn", text, re.M | re.I), name


def _pages() -> list[Path]:
    """Code and pages that people read; tests may quote other people's words."""
    folders = ("src", "docs", "metrics", "recipes", "examples", "notebooks", "loading_scripts", "benchmarks")
    pages = [path for folder in folders for path in (PROJECT / folder).rglob("*")] + list(PROJECT.glob("*"))
    kinds = {".py", ".md", ".ipynb", ".yaml", ".cfg"}
    return sorted(path for path in pages if path.suffix in kinds and ".ipynb_checkpoints" not in path.parts)


def _british(text: str) -> list[str]:
    return [word[0] for line in text.splitlines() for word in BRITISH.finditer(KEPT.sub("", line))]


def test_spelling_is_american() -> None:
    assert len(_pages()) > 250
    assert {path: _british(path.read_text(encoding="utf-8")) for path in _pages()} == {path: [] for path in _pages()}


def test_british_spelling_is_noticed() -> None:
    text = "The colour of a data set\ncentre_crop and labelled_boxes\nnormalised"
    assert _british(text) == ["colour", "data set", "normalis"]
