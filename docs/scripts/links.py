"""Links of the pages: from the place of a page in the repository to its place in the site."""

from __future__ import annotations

import configparser
import re
from functools import cache
from pathlib import Path, PurePosixPath

PROJECT = Path(__file__).resolve().parents[2]
# Pages outside of ``docs`` -> their place in the site.
ADOPTED = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


@cache
def repository() -> str:
    """Return the address of the repository in ``setup.cfg``."""
    settings = configparser.ConfigParser()
    settings.read(PROJECT / "setup.cfg", encoding="utf-8")
    return settings["metadata"]["url"]


def relink(text: str, origin: Path, page: str) -> str:
    """Point the links of a page at their targets in the site, or in the repository where the site does not have them.

    Args:
        text: Its Markdown.
        origin: The file of the page in the repository.
        page: The file of the page in the site, relative to its root.

    Example:
        >>> relink("[why](../CHANGELOG.md)", PROJECT / "docs" / "report.md", "report.md")
        '[why](changelog.md)'
    """
    up = "../" * (len(PurePosixPath(page).parts) - 1)

    def point(match: re.Match[str]) -> str:
        begin, target, fragment = match[1], match[2], match[3] or ""
        path = (origin.parent / target).resolve()
        if path.is_relative_to(PROJECT / "docs"):
            return f"{begin}{up}{path.relative_to(PROJECT / 'docs').as_posix()}{fragment})"
        name = path.relative_to(PROJECT).as_posix()
        if name in ADOPTED:
            return f"{begin}{up}{ADOPTED[name]}{fragment})"
        if name == "notebooks":
            return f"{begin}{up}tutorials/index.md)"
        if path.suffix == ".ipynb":
            return f"{begin}{up}tutorials/{path.stem}.md{fragment})"
        if not path.exists():
            raise SystemExit(f"{origin}: there is no {target}; correct the link")
        return f"{begin}{repository()}/{'tree' if path.is_dir() else 'blob'}/main/{name}{fragment})"

    return _LINK.sub(point, text)
