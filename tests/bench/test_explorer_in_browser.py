"""The explorer in a real browser: quiet, alone, filtering, playing, and usable by keyboard and on a phone."""

from __future__ import annotations

import csv
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.bench.explorer import explore
from microg4m_hf.data import ensure_sample
from tests.bench.test_explorer import EVIL
from tests.bench.test_report_in_browser import CONTRAST
from tests.support.browser import Browser, chromium

pytest.importorskip("gradio", reason="no Gradio; pip install 'microg4m-hf[explore]'")
needs_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium; apt-get install chromium")

CLIP = "Airlock9_009"  # in the test split, so runs have predicted it
COUNT = "document.querySelector('.mg-count strong')?.textContent"
READY = "document.querySelector('#mg-title') !== null && document.querySelector('.mg-boxes').dataset.frame > 0"
VIDEO = "document.querySelector('.mg-stage video')"


@pytest.fixture(scope="module")
def page(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The explorer on the sample with two HAR runs, two of answers, captions that attack, and a broken file."""
    folder = tmp_path_factory.mktemp("given")
    entries = json.loads((ensure_sample() / "vqa_and_captioning.json").read_text())
    (folder / "evil.json").write_text(json.dumps({entry["video_id"]: EVIL for entry in entries}))
    (folder / "broken.csv").write_text("nothing,here\n1,2\n")
    words = [runs, folder / "evil.json", f"<script>own(1)</script>={runs / 'captions.json'}", folder / "broken.csv"]
    started = explore(words, source="sample", port=0, block=False)
    yield started
    started.close(verbose=False)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


def _open(browser: Browser, page: Any, clip: str = CLIP, *, dark: bool = False, **size: Any) -> None:
    browser.open(f"{page.local_url}?clip={clip}{'&__theme=dark' if dark else ''}", **size)
    browser.wait(f"document.querySelector('#mg-title')?.textContent === {json.dumps(clip)} && {READY}")


def _shot(browser: Browser, name: str, height: int | None = None) -> None:
    kept = os.environ.get("MICROG4M_SCREENSHOTS")
    if kept:
        browser.screenshot(Path(kept) / f"explorer_{name}.png", height)


@needs_browser
@pytest.mark.parametrize(("width", "phone"), [(1200, False), (360, True)])
def test_quiet_alone_and_fitting(browser: Browser, page: Any, width: int, phone: bool) -> None:
    browser.requests.clear()
    browser.complaints.clear()
    _open(browser, page, width=width, phone=phone)
    browser.wait(f"{VIDEO}.readyState >= 2 && {VIDEO}.currentTime > 0")
    browser.wait("[...document.querySelectorAll('img.mg-thumb')].some(one => one.naturalWidth > 0)")
    outside = [url for url in browser.requests if not url.startswith((page.local_url, "data:", "blob:"))]
    assert outside == []
    assert browser.complaints == []
    assert browser.ask("document.documentElement.scrollWidth") <= width
    folded = not browser.ask("document.querySelector('#mg-fold button').classList.contains('open')")
    assert folded is phone  # on a phone the clips come first
    _shot(browser, str(width), None if phone else 900)


@needs_browser
def test_video_plays_and_boxes_are_those_of_the_frame(browser: Browser, page: Any) -> None:
    _open(browser, page)
    browser.wait(f"{VIDEO}.readyState >= 2 && !{VIDEO}.paused")
    before = browser.ask(f"{VIDEO}.currentTime")
    browser.wait(f"{VIDEO}.currentTime !== {before}")
    shown = browser.ask("Number(document.querySelector('.mg-boxes').dataset.frame)")
    browser.wait(f"Number(document.querySelector('.mg-boxes').dataset.frame) !== {shown}")  # boxes follow by themselves
    browser.ask(f"{VIDEO}.pause()")
    with next(ensure_sample().rglob("bounding_boxes.csv")).open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["video_id"] == CLIP]
    for frame in (31, 60, 88):
        browser.ask(f"{VIDEO}.currentTime = {(frame - 0.5) / 30}")  # frame 1 shows from 0 on, at 30 frames a second
        browser.wait(f"!{VIDEO}.seeking && document.querySelector('.mg-boxes').dataset.frame === '{frame}'")
        drawn = browser.ask(
            "[...document.querySelectorAll('.mg-box')].map(b => [b.dataset.person, ...['left', 'top', 'width', "
            "'height'].map(side => parseFloat(b.style[side]))])"
        )
        meant = {row["person_id"]: row for row in rows if int(row["frame_id"]) == frame}
        assert {one[0] for one in drawn} == set(meant) != set()
        for person, left, top, width, height in drawn:
            x1, y1, x2, y2 = (float(meant[person][side]) for side in ("xmin", "ymin", "xmax", "ymax"))
            wanted = (x1 / 2.56, y1 / 1.44, (x2 - x1) / 2.56, (y2 - y1) / 1.44)
            assert (left, top, width, height) == pytest.approx(wanted, abs=0.01)
    assert browser.ask("document.querySelector('.mg-person button[data-frame]').click()") is None
    browser.wait("document.querySelector('.mg-box.mg-key') !== null")
    assert browser.ask("document.querySelector('.mg-box.mg-key').textContent").endswith(" key")
    browser.ask("document.querySelector('.mg-toggle input').click()")
    assert browser.ask("getComputedStyle(document.querySelector('.mg-boxes')).display") == "none"


@needs_browser
def test_filters_change_the_list(browser: Browser, page: Any) -> None:
    with next(ensure_sample().rglob("actions.csv")).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    real = {row["video_id"] for row in rows if row["movie_or_real"] == "r"}
    sitting = {row["video_id"] for row in rows if row["action"] == "11"}
    _open(browser, page)
    assert browser.ask(COUNT) == "50 of 50 clips"
    browser.ask("document.querySelector('#mg-domains input').click()")
    browser.wait(f"{COUNT} === '{len(real)} of 50 clips'")
    browser.ask("document.querySelector('#mg-actions input').focus()")
    browser.type("sit (")
    browser.press("Enter", 13)
    browser.wait(f"{COUNT} === '{len(real & sitting)} of 50 clips'")
    listed = browser.ask("[...document.querySelectorAll('.mg-name')].map(one => one.textContent)")
    assert set(listed) == real & sitting
    assert browser.ask("document.querySelector('#mg-title').textContent") in listed  # a clip that fits is shown
    browser.ask("document.querySelector('#mg-words input, #mg-words textarea').focus()")
    browser.type("nowhere to be found")
    browser.wait(f"{COUNT} === '0 of 50 clips'")
    assert "No clip matches" in browser.ask("document.querySelector('#mg-list').textContent")


@needs_browser
def test_worst_clips_of_a_run_come_first(browser: Browser, page: Any) -> None:
    _open(browser, page)
    browser.ask("document.querySelector('#mg-run input').select()")
    browser.type("noisy")
    browser.press("Enter", 13)
    assert browser.ask("document.querySelectorAll('.mg-score').length") == 24  # of the first run, from the beginning
    browser.ask("[...document.querySelectorAll('#mg-order input')][1].click()")
    values = (
        "[...document.querySelectorAll('.mg-score')].map(one => parseFloat(one.textContent)).filter(one => one >= 0)"
    )
    browser.wait(f"(v => v.length === 10 && v[0] < 50 && v.every((x, i) => !i || v[i - 1] <= x))({values})")


@needs_browser
def test_hostile_predictions_are_shown_as_text(browser: Browser, page: Any) -> None:
    browser.complaints.clear()
    _open(browser, page, "cabinCam-04_001")
    browser.wait(f"document.querySelector('.mg-captions').textContent.includes({json.dumps(EVIL)})")
    assert browser.ask("window.owned === undefined && document.querySelector('.mg-view script, img[src=x]') === null")
    said = browser.ask("document.querySelector('.mg-given').textContent")
    assert "not shown: broken.csv: the keys" in said
    assert "<script>own(1)</script>" in said
    assert browser.complaints == []


@needs_browser
def test_by_keyboard(browser: Browser, page: Any) -> None:
    """Tab reaches every control there is; Enter on a clip of the list shows it, and the next one by its button."""
    _open(browser, page)
    browser.ask(f"{VIDEO}.pause()")
    wanted = browser.ask(
        "[...document.querySelectorAll('button, input:not([type=radio]), textarea, video, .mg-scroll')]"
        ".filter(one => one.getClientRects().length && !one.disabled).map((one, n) => (one.dataset.stop = n))"
    )
    reached = []
    for _ in range(len(wanted) + 60):
        browser.press("Tab", 9)
        stop, kind, outline = browser.ask(
            "(e => [e.dataset.stop ?? '', e.className + e.tagName, parseFloat(getComputedStyle(e).outlineWidth)])"
            "(document.activeElement)"
        )
        reached.append(stop)
        if "mg-clip" in kind:
            assert outline >= 3
        if kind.endswith("BODY"):
            break
    lost = sorted(set(map(str, wanted)) - set(reached))
    assert lost == [], browser.ask(f"document.querySelector('[data-stop=\"{lost[0]}\"]').outerHTML")
    browser.ask("document.querySelectorAll('.mg-clip')[4].focus()")
    browser.press("Enter", 13)
    browser.wait("document.querySelector('#mg-title').textContent === 'Airlock9_026'")
    assert browser.ask("document.activeElement.getAttribute('aria-current')") == "true"  # focus stays in the list
    browser.ask("document.querySelector('#mg-later').focus()")
    browser.press("Enter", 13)
    browser.wait("document.querySelector('#mg-title').textContent === 'ColdOrbit_014'")


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_contrast(browser: Browser, page: Any, dark: bool) -> None:
    _open(browser, page, dark=dark)
    ratio, where = browser.ask(CONTRAST)
    assert ratio >= 4.5, where
    if dark:
        _shot(browser, "dark", 900)


def test_only_clips_of_the_data_set_are_served(page: Any) -> None:
    """Whatever the name, no path leaves the folder of clips, by our routes or by Gradio's."""
    with urllib.request.urlopen(f"{page.local_url}microg4m/clips/{CLIP}.mp4") as answer:
        assert answer.headers["content-type"] == "video/mp4"
        whole = answer.read()
    assert whole == next(ensure_sample().rglob(f"{CLIP}.mp4")).read_bytes()
    ranged = urllib.request.Request(f"{page.local_url}microg4m/clips/{CLIP}.mp4", headers={"Range": "bytes=10-19"})
    with urllib.request.urlopen(ranged) as answer:
        assert (answer.status, answer.read()) == (206, whole[10:20])
    csv_file = next(ensure_sample().rglob("actions.csv"))
    for way in (
        "microg4m/clips/..%2f..%2f..%2f..%2fetc%2fpasswd.mp4",
        "microg4m/clips/%2fetc%2fpasswd%00.mp4",
        f"microg4m/clips/movie%2fAirlock9%2f{CLIP}.mp4",
        "microg4m/pictures/..%2f..%2factions.csv%00.jpg",
        "microg4m/clips/Nowhere_001.mp4",
        f"gradio_api/file={csv_file}",
        "gradio_api/file=/etc/passwd",
        f"gradio_api/file={Path('setup.cfg').resolve()}",
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(page.local_url + way)
        assert refused.value.code in (403, 404), way
