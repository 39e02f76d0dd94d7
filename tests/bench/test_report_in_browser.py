"""The report in Chromium: requests, layout, contrast and keyboard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.conftest import ReportFolder
from tests.support.browser import Browser, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium; apt-get install chromium")

# The lowest contrast between visible text and its background.
CONTRAST = """
(() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/^rgba.*, 0\\)$/.test(c) && c !== 'transparent') return c } return 'rgb(255, 255, 255)' };
  let worst = [99, ''];
  for (const e of document.querySelectorAll('body *:not(svg *)')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const a = light(getComputedStyle(e).color), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 120)];
  }
  return worst;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.parametrize(("width", "phone"), [(1200, False), (360, True)])
def test_page_requests_nothing_else_and_fits_the_width(
    browser: Browser, report: ReportFolder, width: int, phone: bool
) -> None:
    browser.requests.clear()
    browser.messages.clear()
    page = report.folder / "report.html"
    browser.open(page, width=width, phone=phone)
    browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    browser.evaluate("Promise.all([...document.images].map(one => (one.loading = 'eager', one.decode())))")
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.resolve().as_uri()]
    assert browser.messages == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width  # only tables scroll sideways
    assert browser.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
    small = "[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height).filter(h => h)"
    assert browser.evaluate(f"Math.min(...{small})") >= 8  # text in charts is readable
    kept = os.environ.get("MICROG4M_SCREENSHOTS")
    if kept:
        browser.screenshot(Path(kept) / f"report_{width}.png")


def test_contrast_of_text(browser: Browser, report: ReportFolder) -> None:
    browser.open(report.folder / "report.html")
    ratio, where = browser.evaluate(CONTRAST)
    assert ratio >= 4.5, where


def test_keyboard_reaches_every_table_and_collapsible_part(browser: Browser, report: ReportFolder) -> None:
    """Tab first reaches the link to the results, then every table and collapsible part; Enter opens a part."""
    browser.open(report.folder / "report.html")
    browser.press("Tab", 9)
    assert browser.evaluate("document.activeElement.className") == "skip"
    expected = browser.evaluate("document.querySelectorAll('summary').length")
    reached, tables = 0, 0
    for _ in range(200):
        browser.press("Tab", 9)
        tag = browser.evaluate("document.activeElement.tagName + ' ' + document.activeElement.className")
        tables += tag == "DIV scroll"
        if tag == "BODY ":
            break
        if tag.startswith("SUMMARY"):
            reached += 1
            before = browser.evaluate("document.activeElement.parentElement.open")
            browser.press("Enter", 13)
            assert browser.evaluate("document.activeElement.parentElement.open") is not before
    assert reached == expected
    assert tables >= 6
