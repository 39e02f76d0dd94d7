"""Check the site: every page is in the navigation, every link has its target, and nothing comes from other servers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlparse

import yaml

from .links import PROJECT

# Elements that a browser requests as soon as it opens a page.
_LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}


@dataclass
class Checked:
    """What was found in a site."""

    pages: int = 0
    links: int = 0
    problems: list[str] = field(default_factory=list)


def check_pages(folder: Path) -> list[str]:
    """Return the pages that the navigation misses, and those that it names and that do not exist."""
    pages = _pages_of(_settings()["nav"])
    listed, twice = set(pages), sorted({page for page in pages if pages.count(page) > 1})
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")}
    missing = [f"{page} is not in the navigation; add it to nav in mkdocs.yml" for page in sorted(present - listed)]
    missing += [f"nav in mkdocs.yml names {page} twice" for page in twice]
    return missing + [f"nav in mkdocs.yml names {page}, which does not exist" for page in sorted(listed - present)]


def _settings() -> dict[str, Any]:
    return yaml.safe_load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))


def _pages_of(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    parts = nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else []
    return [page for part in parts for page in _pages_of(part)]


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if values.get(_LOADED.get(tag, "-")) and values.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(values[_LOADED[tag]])


def check_site(site: Path) -> Checked:
    """Read every page of a built site and follow its links.

    Args:
        site: The folder.

    Returns:
        The number of pages and links, and one line for each problem.
    """
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = Checked(pages=len(pages))
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        for url in page.loaded:
            found.links += 1
            if re.match(r"(\w+:)?//", url):
                found.problems.append(f"{name} loads {url} from another server")
            elif not url.startswith("data:") and not _target(site, path, url).is_file():
                found.problems.append(f"{name} loads {url}, which does not exist")
        for url in page.links:
            if re.match(r"[a-z]+:", url):
                continue
            found.links += 1
            target, fragment = urldefrag(url)
            file = _target(site, path, target) if target else path
            if file.is_dir():
                file = file / "index.html"
            if not file.is_file():
                found.problems.append(f"{name} links {url}, which does not exist")
            elif fragment and file in pages and unquote(fragment) not in pages[file].ids:
                found.problems.append(f"{name} links {url}, which has no such heading")
    return found


def _target(site: Path, page: Path, url: str) -> Path:
    url = unquote(urldefrag(url).url.partition("?")[0])
    if not url.startswith("/"):
        return (page.parent / url).resolve()
    return site / url.removeprefix(urlparse(_settings()["site_url"]).path)  # the page 404.html does not know its place
