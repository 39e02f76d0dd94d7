"""The recipes, the ``evaluate`` modules and the dataset card are in the package; copies lie where people look.

``python -m tests.copies`` lists the copies that differ, ``--write`` makes them equal. They are copies and not links,
because links become text files in Windows checkouts and in archives unpacked there.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = PROJECT / "src" / "microg4m_hf"
FOLDERS = {PROJECT / "recipes": PACKAGE / "training" / "recipes", PROJECT / "metrics": PACKAGE / "metrics" / "modules"}
FILES = {
    PROJECT / "loading_scripts" / "README.md": PACKAGE / "data" / "publish" / "card.md",
    PROJECT / "loading_scripts" / "eval.yaml": PACKAGE / "data" / "publish" / "eval.yaml",
    PROJECT / "docs" / "assets" / "protocols.svg": PACKAGE / "metrics" / "modules" / "microg4m_har" / "protocols.svg",
}


def differing() -> dict[Path, Path]:
    """Return copy -> original where they differ or one is missing. A page that explains a folder has no original."""
    pairs = dict(FILES)
    for copies, originals in FOLDERS.items():
        names = {path.relative_to(root) for root in (copies, originals) for path in _files(root)}
        pairs |= {copies / name: originals / name for name in names - {Path("README.md")}}
    return {
        copy: original
        for copy, original in pairs.items()
        if copy.is_symlink()
        or not (copy.is_file() and original.is_file() and copy.read_bytes() == original.read_bytes())
    }


def _files(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [path for path in files if path.name not in ("__init__.py", "recipe_keys.py")]  # the code beside the recipes


def main() -> None:
    for copy, original in differing().items():
        print(f"{copy.relative_to(PROJECT)} is not {original.relative_to(PROJECT)}")
        if "--write" in sys.argv:
            copy.unlink(missing_ok=True)
            if original.is_file():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(original, copy)


if __name__ == "__main__":
    main()
