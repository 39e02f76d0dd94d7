"""Build the documentation site: gather the pages, generate the reference, build strictly, check what was built.

``python -m docs.scripts.site`` writes ``site/``; ``make docs`` does the same in the environment of the project.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from . import commands, reference, troubleshooting, tutorials
from .check import check_pages, check_site
from .links import ADOPTED, PROJECT, relink
from .sample_report import write_sample_report

CONFIG = "mkdocs.yml"


def stage(folder: Path) -> Path:
    """Write all pages to a folder: those of ``docs``, and those that are generated."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PROJECT / "docs", folder, ignore=shutil.ignore_patterns("scripts", "__pycache__"))
    written = [path.relative_to(folder) for path in folder.rglob("*.md")]
    origins = {path.as_posix(): PROJECT / "docs" / path for path in written}
    origins |= {page: PROJECT / name for name, page in ADOPTED.items()}
    for page, origin in origins.items():
        (folder / page).write_text(relink(origin.read_text(encoding="utf-8"), origin, page), encoding="utf-8")
    for generator in (tutorials, reference, commands, troubleshooting):
        for page, text in generator.pages().items():
            (folder / page).parent.mkdir(parents=True, exist_ok=True)
            (folder / page).write_text(text, encoding="utf-8")
    for page, content in tutorials.pictures().items():
        (folder / page).write_bytes(content)
    return folder


def build(root: Path = PROJECT) -> Path:
    """Build the site; end the program if a page, a link or a name is wrong.

    Args:
        root: Where ``site``, ``build`` and a copy of ``mkdocs.yml`` are written, for a build beside the project.

    Returns:
        The folder of the site.
    """
    pages = stage(root / "build" / "docs")
    write_sample_report(pages)
    problems = check_pages(pages)
    if problems:
        raise SystemExit("\n".join(problems))
    if root != PROJECT:
        settings = (PROJECT / CONFIG).read_text(encoding="utf-8")
        for name in ("src", "docs/scripts/docstrings.py"):
            assert f"[{name}]" in settings
            settings = settings.replace(f"[{name}]", f"[{PROJECT / name}]")
        (root / CONFIG).write_text(settings, encoding="utf-8")
    program = Path(sys.executable).with_name("zensical")
    if subprocess.run([str(program), "build", "--strict", "--clean"], cwd=root, check=False).returncode:
        raise SystemExit("the site was not built; the lines above name the pages")
    return root / "site"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--root", type=Path, default=PROJECT, help="write site/ and build/ there (default: the project)"
    )
    site = build(parser.parse_args().root.resolve())
    found = check_site(site)
    print("\n".join(found.problems))
    print(f"{site}: {found.pages} pages, {found.links} links, {len(found.problems) or 'no'} problems")
    print(f"To read it with its search: python -m http.server --directory {site}")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
