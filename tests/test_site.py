"""The documentation site is built strictly, has an entry for every name, option, key and message, and is accessible."""

from __future__ import annotations

import functools
import http.server
import importlib
import inspect
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from docs.scripts.check import check_pages, check_site
from docs.scripts.commands import commands, options_of
from docs.scripts.messages import UNKNOWN, collect
from docs.scripts.reference import names_of, packages, page_of
from docs.scripts.troubleshooting import AREAS, SHARED, area_of
from microg4m_hf import errors, exits
from microg4m_hf.cli.main import main
from microg4m_hf.training.recipes.recipe_keys import recipe_keys
from tests.support.axe import axe_script, violations
from tests.support.browser import Browser, chromium
from tests.support.documents import PROJECT
from tests.support.warm_python import warm_python


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("docs")
    words = [warm_python(), "-m", "docs.scripts.site", "--root", str(root)]
    ran = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]
    return root / "site"


def _text(page: Path) -> str:
    """The words of a page, without markup."""
    article = page.read_text(encoding="utf-8").partition("<article")[2].partition("</article>")[0]
    return " ".join(unescape(re.sub(r"<[^>]+>", "", article)).split())


def test_no_link_is_dead_and_nothing_comes_from_other_servers(site: Path) -> None:
    found = check_site(site)
    assert found.problems == []
    assert found.pages > 50 and found.links > 4000


def test_the_site_has_a_report_to_look_at(site: Path) -> None:
    page = (site / "sample_report.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("careful", "hasty", "blind", "majority", "data:image/jpeg"))
    assert "runs/careful.parquet" in page and str(site.parent) not in page and "/tmp" not in page
    for name in ("index", "getting_started", "report"):
        assert 'href="sample_report.html"' in (site / f"{name}.html").read_text(encoding="utf-8"), name


def test_no_table_has_an_empty_head(site: Path) -> None:
    empty = re.compile(r"<th[^>]*>\s*</th>")
    assert [page.name for page in site.rglob("*.html") if empty.search(page.read_text(encoding="utf-8"))] == []


def test_a_dead_link_is_found(site: Path, tmp_path: Path) -> None:
    page = (
        '<a href="gone.html">1</a><a href="#gone">2</a><a href="index.html#here" id="here">3</a>'
        '<script src="https://cdn.example.org/x.js"></script><img src="gone.png">'
    )
    (tmp_path / "index.html").write_text(page)
    assert len(check_site(tmp_path).problems) == 4


def test_a_page_outside_of_the_navigation_is_found(site: Path) -> None:
    pages = site.parent / "build" / "docs"
    assert check_pages(pages) == []
    (pages / "lost.md").touch()
    assert len(check_pages(pages)) == 1
    (pages / "lost.md").unlink()


@pytest.mark.parametrize("package", packages())
def test_every_public_name_has_an_entry_with_its_parameters(package: str, site: Path) -> None:
    html = (site / page_of(package).replace(".md", ".html")).read_text(encoding="utf-8")
    for name in names_of(package):
        entry = html.partition(f'id="{package}.{name}"')[2]
        assert entry, f"{package}.{name} has no entry"
        entry = re.split(r'<h2 id="microg4m_hf', entry)[0]
        value = getattr(importlib.import_module(package), name)
        if not callable(value) or isinstance(value, dict):
            continue
        shown = set(re.findall(r"\w+", unescape(re.sub(r"<[^>]+>", " ", entry))))
        missing = {parameter for parameter in _parameters(value) if parameter not in shown}
        assert not missing, f"the entry of {package}.{name} lacks {missing}"


def _parameters(value: object) -> set[str]:
    try:
        return set(inspect.signature(value).parameters)  # type: ignore[arg-type]
    except ValueError:
        return set()  # a class without a constructor of its own


def test_every_option_has_a_line(site: Path) -> None:
    text = _text(site / "reference" / "commands.html")
    for words, parser in commands():
        section = text.partition(f"microg4m {words}")[2]
        for action in options_of(parser):
            name = max(action.option_strings, key=len, default=str(action.metavar or action.dest))
            assert name in section, (words, name)


def test_every_recipe_key_has_a_line(site: Path) -> None:
    text = _text(site / "reference" / "recipe_keys.html")
    for kind in ("har", "vlm"):
        for key in recipe_keys(kind):
            assert key.name in text and key.meaning.replace("`", "") in text, key.name


# Messages of the package


def test_every_message_is_in_troubleshooting_with_a_cure(site: Path) -> None:
    pages = {area.name: _text(site / "troubleshooting" / f"{area.name}.html") for area in AREAS}
    messages = collect()
    assert len(messages) > 700
    for message in messages:
        area = area_of(message)[0]
        if re.search("[a-z]{3}", message.problem):
            assert message.problem.replace("`", "") in pages[area.name], message
    assert all(advice in pages["commands"].lower() for advice in map(str.lower, map(_plain, exits.ADVICE.values())))


def _plain(text: str) -> str:
    return text.replace("`", "")


# A cure is what to do (`give 1 or more`), or what a value must be like (`it can be 'a' or 'b'`).
CURE = re.compile(
    r"\b(add|build|call|check|choose|connect|convert|copy|correct|count|create|crop|cut|delete|divide|do|download|draw|"
    r"export|fill|free|get|give|install|keep|leave|load|log in|lower|make|map|move|name|normalize|pass|point|predict|"
    r"process|push|put|quote|raise|re-encode|read|release|remove|rename|repair|reset|restore|resume|return|review|round|"
    r"run|sample|save|say|scale|score|see|send|set|settle|start|train|try|tune|unpack|unset|update|use|wait|write)\b|"
    r"must be|can be|needs|the keys are|did you mean|it has|one of|are packed|are released|microg4m ",
    re.IGNORECASE,
)


def test_every_message_says_what_to_do_in_its_own_words_or_in_those_of_a_named_group() -> None:
    messages = [message for message in collect() if re.search("[a-z]{3}", message.problem)]
    without = [message for message in messages if not CURE.search(area_of(message)[1])]
    assert without == []
    shared = [message for message in messages if area_of(message)[1] in {advice for _, _, advice in SHARED}]
    assert 0 < len(shared) < 20, "put what to do into the message itself"
    for file, words, _ in SHARED:
        assert any(one.file.startswith(file) and re.search(words, one.problem) for one in messages), (file, words)


# Commands that end with an error, to see that the list has what is really printed.
FAILING = (
    "data check --data-dir nowhere",
    "data stats --source nobody",
    "data export-ava --data-dir x --source sample --out ava",
    "models info x3d",
    "train har --config demos",
    "train har --config demo loop.micro_batch=-1",
    "train har --config demo loop.batches=3",
    "train har --config demo optim.lr=nan",
    "predict har --source sample",
    "score har --predictions none.csv --source sample",
    "score vqa --predictions none.jsonl --source sample",
    "push no_run me/x",
    "weights fetch nothing",
    "metrics push me --folder none",
    "report nowhere --source sample",
)


@pytest.mark.parametrize("words", FAILING)
def test_a_printed_message_is_in_the_list(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(words.split()) in (1, 2)
    printed = capsys.readouterr()
    lines = [line.strip() for line in (printed.err + printed.out).splitlines() if line.strip()]
    assert any(_listed(line.removeprefix("microg4m: ")) for line in lines), lines[-3:]


def _listed(line: str) -> bool:
    return any(re.search(pattern, line) for pattern in _patterns())


@functools.cache
def _patterns() -> list[str]:
    """Messages as regular expressions, as Python and as the command line say them; a few words prove nothing."""
    found = []
    for message in collect():
        words = re.sub(UNKNOWN, "", message.problem)
        if len(re.findall(r"[a-z]{3,}", words)) >= 2:
            pattern = ".*".join(re.escape(part) for part in message.problem.split(UNKNOWN))
            found += [pattern, re.sub(r"([a-z_]+)=", lambda match: f"--{match[1].replace('_', '-')}", pattern)]
    return found


def test_every_error_class_has_an_entry(site: Path) -> None:
    html = (site / "reference" / "errors.html").read_text(encoding="utf-8")
    classes = [name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)]
    assert len(classes) > 10
    assert all(f'id="microg4m_hf.errors.{name}"' in html for name in classes)


def test_the_search_knows_names_options_and_messages(site: Path) -> None:
    entries = json.loads((site / "search.json").read_text(encoding="utf-8"))["items"]
    text = " ".join(str(entry.get("text", "")) + str(entry.get("title", "")) for entry in entries)
    for word in ("HarAccumulator", "retry-timeout", "loop.micro_batch", "not UTF-8", "source_disjoint"):
        assert word in text, word


# The site in Chromium

in_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium; apt-get install chromium")
# One page of each kind, none of the largest: home, guide, figures, notebook, names, messages.
PAGES = (
    "index",
    "getting_started",
    "concepts/protocols",
    "tutorials/02_metrics",
    "reference/web",
    "troubleshooting/prediction",
)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@in_browser
@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_no_other_server_and_is_accessible(browser: Browser, address: str, page: str) -> None:
    script = axe_script()
    browser.requests.clear()
    browser.messages.clear()
    browser.open(f"{address}/{page}.html", width=1300)
    # Wait for what the scripts of the page add: buttons, and wrappers of wide tables.
    browser.wait_for("document.querySelectorAll('.md-typeset table').length === "
                     "document.querySelectorAll('.md-typeset__table table').length")  # fmt: skip
    found = violations(browser, script)
    assert [one for one in found if one["impact"] in ("serious", "critical")] == []
    assert [url for url in browser.requests if not url.startswith((address, "data:"))] == []
    assert browser.messages == []
    _keep(browser, page)
    browser.open(f"{address}/{page}.html", width=380, phone=True)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 380


def _keep(browser: Browser, page: str) -> None:
    folder = os.environ.get("MICROG4M_SCREENSHOTS")
    if folder:
        browser.screenshot(Path(folder) / f"site_{page.replace('/', '_')}.png", height=1500)


@in_browser
def test_the_search_finds_a_name(browser: Browser, address: str) -> None:
    browser.open(f"{address}/index.html", width=1300)
    button = "document.querySelector('.md-search__button')"
    browser.wait_for(f"{button} && ({button}.click(), true)")
    inside = "[...document.querySelectorAll('*')].map(one => one.shadowRoot).find(Boolean)"
    browser.wait_for(f"{inside} && {inside}.activeElement && {inside}.activeElement.tagName === 'INPUT'")
    browser.type("HarAccumulator")
    found = browser.wait_for(f"[...{inside}.querySelectorAll('a')].map(one => one.href)[0]")
    assert "/reference/metrics.html" in found and found.endswith("#microg4m_hf.metrics.HarAccumulator")
