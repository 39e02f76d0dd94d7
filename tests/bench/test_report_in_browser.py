"""The report in Chromium: requests, layout, contrast and keyboard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from microg4m_hf.bench import make_report
from tests.bench.conftest import ReportFolder
from tests.support.browser import Browser, chromium
from tests.support.report_runs import har_run, labeled_items

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


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of twelve runs."""
    folder = tmp_path_factory.mktemp("many")
    items = labeled_items()
    for place in range(12):
        har_run(folder / "runs" / f"slowfast_8x8_r50_seed_{place}", items, noise=0.5 * place, seed=place)
    make_report([folder / "runs"], folder / "out", source="sample", details=1)
    return folder / "out"


def _dimmed(run: str) -> str:
    return f"""[...document.querySelectorAll('figure svg path[data-run]')].filter(one => one.getClientRects().length)
      .every(one => one.classList.contains('off') === (one.dataset.run !== '{run}'))"""


def test_a_click_chooses_a_run_for_all_charts_and_tables(browser: Browser, report: ReportFolder) -> None:
    browser.open(report.folder / "report.html")
    runs = browser.evaluate(
        "[...new Set([...document.querySelectorAll('svg path[data-run]')].map(o => o.dataset.run))]"
    )
    first = next(run for run in runs if run.startswith("noisy"))
    click = "dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    browser.evaluate(f"document.querySelector('svg path.m[data-run=\"{first}\"]').{click}")
    assert browser.evaluate(_dimmed(first))
    rows = "[...document.querySelectorAll('tr[data-run]')]"
    assert browser.evaluate(f"{rows}.every(row => row.hidden === (row.dataset.run !== '{first}'))")
    assert browser.evaluate(f"document.querySelector('details[data-run=\"{first}\"]').open")
    assert "noisy & <b>odd" in browser.evaluate("document.querySelector('[role=status]').textContent")
    browser.evaluate("document.querySelector('.choice button').click()")
    assert browser.evaluate(f"{rows}.every(row => !row.hidden) && !document.querySelector('svg .off')")


def test_an_action_is_chosen_and_both_charts_and_the_table_follow(browser: Browser, report: ReportFolder) -> None:
    browser.open(report.folder / "report.html")
    action = browser.evaluate("document.querySelector('tr[data-action]').dataset.action")
    browser.evaluate(
        f"(s => {{ s.value = '{action}'; s.dispatchEvent(new Event('change')) }})"
        "(document.querySelector('select[name=action]'))"
    )
    shown = (
        "[...document.querySelectorAll('tr[data-action]')].filter(row => !row.hidden).map(row => row.dataset.action)"
    )
    assert browser.evaluate(shown) == [action]
    alone = f"svg .row[data-action='{action}']"
    assert not browser.evaluate(f"document.querySelector(\"{alone}\").classList.contains('off')")
    others = f"[...document.querySelectorAll('svg .row')].filter(one => one.dataset.action !== '{action}')"
    assert browser.evaluate(f"{others}.length > 3 && {others}.every(one => one.classList.contains('off'))")


def test_hints_and_sorting(browser: Browser, report: ReportFolder) -> None:
    browser.open(report.folder / "report.html")
    move = "dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: 40, clientY: 40}))"
    browser.evaluate(f"document.querySelector('svg .row path.m').{move}")
    assert "AP" in browser.evaluate("document.querySelector('.tip:not([hidden])').textContent")
    browser.evaluate(f"document.body.{move}")
    assert browser.evaluate("document.querySelector('.tip').hidden")
    column = "[...document.querySelector('#table-actions-on-the-sample-actions + .scroll tbody').rows].map(row => "
    values = f"{column}parseFloat(row.cells[3].textContent))"
    button = "document.querySelectorAll('#table-actions-on-the-sample-actions + .scroll th button')[3]"
    browser.evaluate(f"{button}.click()")
    found = browser.evaluate(values)
    assert found == sorted(found, reverse=True)
    browser.evaluate(f"{button}.click()")
    assert browser.evaluate(values) == sorted(found)
    assert browser.evaluate(f"{button}.parentElement.getAttribute('aria-sort')") == "ascending"


def test_without_scripts_and_on_paper_everything_is_there(browser: Browser, report: ReportFolder) -> None:
    page = report.folder / "report.html"
    browser.open(page)
    with_script = browser.evaluate("document.querySelectorAll('table tbody tr').length")
    browser._call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        assert browser.evaluate("document.querySelector('.choice').hidden")
        assert browser.evaluate("document.querySelectorAll('table tbody tr').length") == with_script
        assert browser.evaluate("document.querySelectorAll('svg .m > title').length") > 50  # the browser's own hints
        browser._call("Emulation.setEmulatedMedia", media="print")
        hidden = (
            "[...document.querySelectorAll('details td')].filter(one => one.textContent.trim() && !one.offsetHeight)"
        )
        assert browser.evaluate(f"{hidden}.length") == 0  # folded parts are printed, too
    finally:
        browser._call("Emulation.setEmulatedMedia", media="")
        browser._call("Emulation.setScriptExecutionDisabled", value=False)


def test_contrast_in_dark_mode(browser: Browser, report: ReportFolder) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser._call("Emulation.setEmulatedMedia", features=dark)
    try:
        browser.open(report.folder / "report.html")
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 23, 28)"
        ratio, where = browser.evaluate(CONTRAST)
        assert ratio >= 4.5, where
    finally:
        browser._call("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize("width", [380, 800, 1400])
def test_no_column_is_cut(browser: Browser, many: Path, width: int) -> None:
    browser.open(many / "report.html", width=width, phone=width < 500)
    browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    cut = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1)"
    assert browser.evaluate(f"{cut}.map(one => one.getAttribute('aria-labelledby'))") == []


# The words of the heads of columns that are broken inside a word.
BROKEN = """
[...document.querySelectorAll('thead th.plain span')].filter(one => one.getClientRects().length).flatMap(one =>
  [...one.textContent.matchAll(/\\S+/g)].filter(word => {
    const range = document.createRange(), text = document.createTreeWalker(one, NodeFilter.SHOW_TEXT).nextNode();
    if (text.data.length < word.index + word[0].length) return false;  // broken behind an underscore
    range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length);
    return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1;
  }).map(word => word[0]))
"""


@pytest.mark.parametrize("media", ["", "print"])
def test_short_words_in_heads_are_not_broken(browser: Browser, many: Path, media: str) -> None:
    browser._call("Emulation.setEmulatedMedia", media=media)
    try:
        browser.open(many / "report.html", width=800)
        browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert browser.evaluate("document.querySelectorAll('thead th.plain').length") > 20
        assert browser.evaluate(BROKEN) == []
    finally:
        browser._call("Emulation.setEmulatedMedia", media="")
