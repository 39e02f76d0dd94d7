"""Imports go down the floors only, and the light imports stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "microg4m_hf"
FLOOR = {"data": 1, "metrics": 1, "models": 1, "training": 2, "inference": 2, "bench": 3, "cli": 4}
FILES = sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path) -> list[str]:
    """Modules of ours that a file imports, as dotted names below ``microg4m_hf``."""
    here = ("microg4m_hf", *path.relative_to(PACKAGE).parts[:-1])
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("microg4m_hf")]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            found += [f"{module}.{alias.name}" for alias in node.names] if module == "microg4m_hf" else [module]
    return [name.removeprefix("microg4m_hf.") for name in found if name.startswith("microg4m_hf.")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    if len(parts) == 1:
        own, limit = "", 0
        if path.name in {"__init__.py", "__main__.py"}:
            return  # the front door opens every room
    else:
        own, limit = parts[0], FLOOR[parts[0]]
    for name in _imports(path):
        room = name.split(".")[0]
        floor = FLOOR.get(room, 0)
        assert room == own or floor < limit or floor == 0, (
            f"{path.name} on floor {limit} imports {name} on floor {floor}"
        )


def test_no_file_is_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in FILES}
    assert max(lengths.values()) <= 500, max(lengths, key=lengths.__getitem__)
    assert sorted(lengths.values())[len(lengths) // 2] <= 150


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "matplotlib", "sklearn", "datasets", "pyarrow", "numpy", "pandas", "evaluate")
    code = f"import sys, microg4m_hf; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
