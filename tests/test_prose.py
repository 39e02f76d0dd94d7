"""Public functions are documented in one form, and spelling is American."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
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


def test_spelling_is_american() -> None:
    command = ["git", "ls-files"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False).stdout.split("\n")
    assert len(listed) > 200 or not (PROJECT / ".git").exists()
    faults = []
    for name in listed:
        if name == "tests/test_prose.py" or not name.endswith((".py", ".md", ".ipynb", ".yaml", ".cfg")):
            continue
        if name.startswith("tests/") or not (PROJECT / name).is_file():
            continue
        for number, line in enumerate((PROJECT / name).read_text(encoding="utf-8").splitlines(), 1):
            word = BRITISH.search(KEPT.sub("", line))
            if word:
                faults.append(f"{name}:{number}: {word[0]}")
    assert not faults
