"""The explorer in Chromium: requests, layout, filters, playback, keyboard and contrast."""

from __future__ import annotations

import csv
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.bench import make_report
from microg4m_hf.bench.explorer import explore
from microg4m_hf.bench.scoring import ScoringOptions
from microg4m_hf.data import ensure_sample
from tests.bench.test_explorer import MARKUP
from tests.bench.test_report_in_browser import CONTRAST
from tests.support.axe import axe_script, violations
from tests.support.browser import Browser, chromium

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="no Gradio; pip install 'microg4m-hf[explore]'")
needs_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium; apt-get install chromium")

CLIP = "Airlock9_009"  # in the test split, so runs have predicted it
COUNT = "document.querySelector('.mg-count strong')?.textContent"
READY = "document.querySelector('#mg-title') !== null && document.querySelector('.mg-boxes').dataset.frame > 0"
VIDEO = "document.querySelector('.mg-stage video')"


@pytest.fixture(scope="module")
def page(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The explorer on the sample with HAR runs and their report, runs of answers, captions with markup, a bad file."""
    folder = tmp_path_factory.mktemp("given")
    entries = json.loads((ensure_sample() / "vqa_and_captioning.json").read_text())
    (folder / "markup.json").write_text(json.dumps({entry["video_id"]: MARKUP for entry in entries}))
    (folder / "broken.csv").write_text("nothing,here\n1,2\n")
    words = [runs, folder / "markup.json", f"<script>own(1)</script>={runs / 'captions.json'}", folder / "broken.csv"]
    actions = [runs / "good", runs / "noisy & <b>odd"]
    make_report(actions, folder / "report", source="sample", options=ScoringOptions(resamples=100))
    opened = explore(words, source="sample", port=0, block=False, report=folder / "report")
    yield opened
    opened.close(verbose=False)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def _open(browser: Browser, page: Any, clip: str = CLIP, *, dark: bool = False, **size: Any) -> None:
    browser.open(f"{page.local_url}?clip={clip}{'&__theme=dark' if dark else ''}", **size)
    browser.wait_for(f"document.querySelector('#mg-title')?.textContent === {json.dumps(clip)} && {READY}")


def _shot(browser: Browser, name: str, height: int | None = None) -> None:
    kept = os.environ.get("MICROG4M_SCREENSHOTS")
    if kept:
        browser.screenshot(Path(kept) / f"explorer_{name}.png", height)


@needs_browser
@pytest.mark.parametrize(("width", "phone"), [(1200, False), (360, True)])
def test_page_requests_nothing_else_and_fits_the_width(browser: Browser, page: Any, width: int, phone: bool) -> None:
    browser.requests.clear()
    browser.messages.clear()
    _open(browser, page, width=width, phone=phone)
    browser.wait_for(f"{VIDEO}.readyState >= 2 && {VIDEO}.currentTime > 0")
    browser.wait_for("[...document.querySelectorAll('img.mg-thumb')].some(one => one.naturalWidth > 0)")
    outside = [url for url in browser.requests if not url.startswith((page.local_url, "data:", "blob:"))]
    assert outside == []
    assert browser.messages == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    opened = "document.querySelector('#mg-fold button').classList.contains('open')"
    browser.wait_for(f"!{opened}" if phone else opened)  # on a phone the clips come first
    _shot(browser, str(width), None if phone else 900)


@needs_browser
def test_boxes_belong_to_the_frame_that_plays(browser: Browser, page: Any) -> None:
    _open(browser, page)
    browser.wait_for(f"{VIDEO}.readyState >= 2 && !{VIDEO}.paused")
    before = browser.evaluate(f"{VIDEO}.currentTime")
    browser.wait_for(f"{VIDEO}.currentTime !== {before}")
    shown = browser.evaluate("Number(document.querySelector('.mg-boxes').dataset.frame)")
    browser.wait_for(f"Number(document.querySelector('.mg-boxes').dataset.frame) !== {shown}")  # boxes follow the video
    browser.evaluate(f"{VIDEO}.pause()")
    with next(ensure_sample().rglob("bounding_boxes.csv")).open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["video_id"] == CLIP]
    for frame in (31, 60, 88):
        browser.evaluate(
            f"{VIDEO}.currentTime = {(frame - 0.5) / 30}"
        )  # frame 1 starts at 0 s, with 30 frames per second
        browser.wait_for(f"!{VIDEO}.seeking && document.querySelector('.mg-boxes').dataset.frame === '{frame}'")
        drawn = browser.evaluate(
            "[...document.querySelectorAll('.mg-box')].map(b => [b.dataset.person, ...['left', 'top', 'width', "
            "'height'].map(side => parseFloat(b.style[side]))])"
        )
        rows_of_frame = {row["person_id"]: row for row in rows if int(row["frame_id"]) == frame}
        assert {one[0] for one in drawn} == set(rows_of_frame) != set()
        for person, left, top, width, height in drawn:
            x1, y1, x2, y2 = (float(rows_of_frame[person][side]) for side in ("xmin", "ymin", "xmax", "ymax"))
            expected = (x1 / 2.56, y1 / 1.44, (x2 - x1) / 2.56, (y2 - y1) / 1.44)
            assert (left, top, width, height) == pytest.approx(expected, abs=0.01)
    assert browser.evaluate("document.querySelector('.mg-person button[data-frame]').click()") is None
    browser.wait_for("document.querySelector('.mg-box.mg-key') !== null")
    assert browser.evaluate("document.querySelector('.mg-box.mg-key').textContent").endswith(" key")
    browser.evaluate("document.querySelector('.mg-toggle input').click()")
    assert browser.evaluate("getComputedStyle(document.querySelector('.mg-boxes')).display") == "none"


@needs_browser
def test_timeline_shows_tracks_and_jumps_to_key_frames(browser: Browser, page: Any) -> None:
    """A lane per person with the frames that have boxes; a key frame is a click, a Tab stop or the key k away."""
    _open(browser, page)
    browser.evaluate(f"{VIDEO}.pause()")
    with next(ensure_sample().rglob("bounding_boxes.csv")).open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["video_id"] == CLIP]
    frames = {person: [int(row["frame_id"]) for row in rows if row["person_id"] == person] for person in ("1", "2")}
    lanes = browser.evaluate(
        "[...document.querySelectorAll('.mg-timeline li')].map(lane => [lane.querySelector('.mg-mark').textContent, "
        "...[...lane.querySelectorAll('i')].map(bar => [parseFloat(bar.style.left), parseFloat(bar.style.width)])])"
    )
    assert [lane[0] for lane in lanes] == list(frames)
    for person, *bars in lanes:
        covered = {
            frame
            for left, width in bars
            for frame in range(1 + round(left * 0.9), 1 + round((left + width) * 0.9))  # of 90 frames
        }
        assert covered == set(frames[person])
    keys = browser.evaluate("[...document.querySelectorAll('.mg-rail button')].map(one => Number(one.dataset.frame))")
    assert len(keys) == 2
    shown = "Number(document.querySelector('.mg-boxes').dataset.frame)"
    browser.evaluate("document.querySelectorAll('.mg-rail button')[1].focus()")
    browser.press("Enter", 13)
    browser.wait_for(f"{shown} === {keys[1]} && document.querySelector('.mg-box.mg-key') !== null")
    at = (
        "(r => r.dispatchEvent(new MouseEvent('click', {bubbles: true, clientX: r.getBoundingClientRect().left"
        " + r.getBoundingClientRect().width * 0.25})))(document.querySelector('.mg-rail'))"
    )
    browser.evaluate(at)
    browser.wait_for(f"{shown} === 23 && !{VIDEO}.seeking && Math.abs({VIDEO}.currentTime - 22.5 / 30) < 0.02")
    ordered = sorted(set(keys))
    for key, frame in (("k", ordered[0]), ("k", ordered[-1]), ("k", ordered[0]), ("K", ordered[-1])):
        press = f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))"
        browser.evaluate(press)
        browser.wait_for(f"{shown} === {frame}")


@needs_browser
def test_filters_change_the_list(browser: Browser, page: Any) -> None:
    with next(ensure_sample().rglob("actions.csv")).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    real = {row["video_id"] for row in rows if row["movie_or_real"] == "r"}
    sitting = {row["video_id"] for row in rows if row["action"] == "11"}
    _open(browser, page)
    assert browser.evaluate(COUNT) == "50 of 50 clips"
    browser.evaluate("document.querySelector('#mg-domains input').click()")
    browser.wait_for(f"{COUNT} === '{len(real)} of 50 clips'")
    browser.wait_for("document.querySelector('#mg-actions input')?.focus() === undefined && "
                     "document.activeElement.closest('#mg-actions') !== null")  # fmt: skip
    browser.type("sit (")
    browser.press("Enter", 13)
    browser.wait_for(f"{COUNT} === '{len(real & sitting)} of 50 clips'")
    listed = browser.evaluate("[...document.querySelectorAll('.mg-name')].map(one => one.textContent)")
    assert set(listed) == real & sitting
    assert browser.evaluate("document.querySelector('#mg-title').textContent") in listed  # a clip that matches is shown
    browser.evaluate("document.querySelector('#mg-words input, #mg-words textarea').focus()")
    browser.type("nowhere to be found")
    browser.wait_for(f"{COUNT} === '0 of 50 clips'")
    assert "No clip matches" in browser.evaluate("document.querySelector('#mg-list').textContent")


@needs_browser
def test_numbers_and_address_follow_the_filters(browser: Browser, page: Any) -> None:
    """The numbers beside the values follow the other filters; the address brings back filters and clip."""
    with next(ensure_sample().rglob("actions.csv")).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    real = {row["video_id"] for row in rows if row["movie_or_real"] == "r"}
    standing = {row["video_id"] for row in rows if row["action"] == "12"}
    _open(browser, page)
    browser.wait_for("document.querySelector('#mg-actions input')?.focus() === undefined && "
                     "document.activeElement.closest('#mg-actions') !== null")  # fmt: skip
    browser.type("stand (")
    browser.press("Enter", 13)
    browser.wait_for(f"{COUNT} === '{len(standing)} of 50 clips'")
    domains = "document.querySelector('#mg-domains').textContent"
    browser.wait_for(f"{domains}.includes('real ({len(real & standing)})')")
    assert (
        browser.evaluate("document.querySelector('#mg-actions .token span').textContent") == f"stand ({len(standing)})"
    )
    browser.evaluate("document.querySelector('#mg-domains input').click()")
    browser.wait_for(f"{COUNT} === '{len(real & standing)} of 50 clips'")
    assert f"movie ({len(standing - real)})" in browser.evaluate(domains)  # what a click on it would add
    browser.wait_for("new URL(location.href).searchParams.get('domains') === 'real'")
    address = browser.evaluate("location.href")
    assert "actions=12" in address
    listed = browser.evaluate("[...document.querySelectorAll('.mg-name')].map(one => one.textContent)")
    browser.open("about:blank")
    browser.open(address)
    browser.wait_for(f"{COUNT} === '{len(real & standing)} of 50 clips' && {READY}")
    assert browser.evaluate("[...document.querySelectorAll('.mg-name')].map(one => one.textContent)") == listed
    browser.wait_for("document.querySelector('#mg-domains input').checked")
    assert "stand (" in browser.evaluate("document.querySelector('#mg-actions').textContent")
    assert browser.evaluate("location.href") == address


@needs_browser
def test_worst_clips_of_a_run_come_first(browser: Browser, page: Any) -> None:
    _open(browser, page)
    browser.evaluate("document.querySelector('#mg-run input').select()")
    browser.type("noisy")
    browser.press("Enter", 13)
    assert browser.evaluate("document.querySelectorAll('.mg-score').length") == 24  # scores of the first run
    browser.evaluate("[...document.querySelectorAll('#mg-order input')][1].click()")
    values = (
        "[...document.querySelectorAll('.mg-score')].map(one => parseFloat(one.textContent)).filter(one => one >= 0)"
    )
    browser.wait_for(f"(v => v.length === 10 && v[0] < 50 && v.every((x, i) => !i || v[i - 1] <= x))({values})")


@needs_browser
def test_it_opens_on_the_worst_clip_and_the_address_follows(browser: Browser, page: Any) -> None:
    """Without a clip in the address: the clip of the first run with the lowest score, on a frame with boxes."""
    browser.open(page.local_url)
    browser.wait_for(READY)
    names = browser.evaluate("[...document.querySelectorAll('.mg-name')].map(one => one.textContent)")
    values = browser.evaluate("[...document.querySelectorAll('.mg-score')].map(one => parseFloat(one.textContent))")
    predicted = [value for value in values if value is not None and value >= 0]
    assert len(predicted) >= 10 and predicted == sorted(predicted) == values[: len(predicted)]
    title = "document.querySelector('#mg-title').textContent"
    assert browser.evaluate(title) == names[0]
    assert "ranking precision, good" in browser.evaluate("document.querySelector('.mg-columns').textContent")
    browser.wait_for("document.querySelector('.mg-box') !== null")
    address = "new URL(location.href).searchParams.get('clip')"
    for key, place in (("n", 1), ("n", 2), ("p", 1)):
        press = f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))"
        browser.evaluate(press)
        browser.wait_for(f"{title} === '{names[place]}' && {address} === '{names[place]}'")
    assert browser.evaluate("document.querySelector(document.querySelector('.mg-skip').hash) !== null")


@needs_browser
def test_names_link_to_the_report_and_back(browser: Browser, page: Any) -> None:
    """A run, an action and a clip lead to their rows in the report, whose links lead back to this explorer."""
    browser.messages.clear()
    _open(browser, page)
    browser.evaluate("[...document.querySelectorAll('.mg-view thead a')].find(a => a.textContent === 'good').click()")
    status = "document.querySelector('.choice [role=status]')?.textContent"
    browser.wait_for(f"{status} === 'Only good'")
    browser.evaluate("document.querySelector('tr[data-run=good] a.look').click()")
    browser.wait_for(READY)
    assert browser.evaluate("location.href").startswith(f"{page.local_url}?run=good")
    browser.open(f"{page.local_url}microg4m/report#run=good")
    browser.wait_for(f"{status} === 'Only good'")
    browser.evaluate("document.querySelector('tr[data-run]:not([data-run=good]) a.look').click()")
    browser.wait_for("document.querySelector('.mg-columns')?.textContent.endsWith('noisy & <b>odd')")
    browser.open(f"{page.local_url}microg4m/report#action=12")  # stand
    browser.wait_for(f"{status} === 'Only stand'")
    link = "document.activeElement.querySelector('a.look')"
    assert browser.evaluate(f"{link}.getClientRects().length > 0")  # in a part that was folded
    browser.evaluate(f"{link}.click()")
    with next(ensure_sample().rglob("actions.csv")).open(newline="") as stream:
        standing = {row["video_id"] for row in csv.DictReader(stream) if row["action"] == "12"}
    browser.wait_for(f"{COUNT} === '{len(standing)} of 50 clips'")
    browser.open(f"{page.local_url}microg4m/report")
    example = "document.querySelector('article[data-clip]')"
    clip = browser.evaluate(f"{example}.dataset.clip")
    browser.evaluate(f"{example}.querySelector('a').click()")
    browser.wait_for(f"document.querySelector('#mg-title')?.textContent === {json.dumps(clip)}")
    browser.evaluate("document.querySelector('.mg-view .mg-quiet a').click()")
    browser.wait_for(f"document.activeElement?.dataset.clip === {json.dumps(clip)}")
    assert browser.messages == []


@needs_browser
@pytest.mark.parametrize("width", [800, 1000])
def test_filters_are_above_the_list_on_a_tablet(browser: Browser, page: Any, width: int) -> None:
    _open(browser, page, width=width)
    top = "document.querySelector('#{}').getBoundingClientRect().top"
    browser.wait_for("!document.querySelector('#mg-fold button').classList.contains('open')")
    assert browser.evaluate(f"{top.format('mg-filters')} < {top.format('mg-found')}")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    # Names break between words only: every part between two seams is on one line.
    parts = (
        "[...document.querySelectorAll('.mg-name, .mg-columns span, #mg-title, .mg-view th span, .mg-view th a')]"
        ".flatMap(one => [...one.childNodes]).filter(one => one.nodeType === 3 && !/ /.test(one.data))"
        ".map(one => { const range = document.createRange(); range.selectNodeContents(one);"
        " return [one.data, new Set([...range.getClientRects()].map(r => Math.round(r.top))).size] })"
    )
    found = browser.evaluate(parts)
    assert len(found) > 24 and [name for name, lines in found if lines > 1] == []
    _shot(browser, str(width), 900)


@needs_browser
def test_markup_in_predictions_is_shown_as_text(browser: Browser, page: Any) -> None:
    browser.messages.clear()
    _open(browser, page, "cabinCam-04_001")
    browser.wait_for(f"document.querySelector('.mg-captions').textContent.includes({json.dumps(MARKUP)})")
    assert browser.evaluate(
        "window.owned === undefined && document.querySelector('.mg-view script, img[src=x]') === null"
    )
    listed_runs = browser.evaluate("document.querySelector('.mg-given').textContent")
    assert "not shown: broken.csv: the keys" in listed_runs
    assert "<script>own(1)</script>" in listed_runs
    assert browser.messages == []


@needs_browser
def test_keyboard_reaches_every_control(browser: Browser, page: Any) -> None:
    """Tab reaches every control; Enter selects a clip of the list, and the next one with the button."""
    _open(browser, page)
    browser.evaluate(f"{VIDEO}.pause()")
    expected = browser.evaluate(
        "[...document.querySelectorAll('button, input:not([type=radio]), textarea, video, .mg-scroll')]"
        ".filter(one => one.getClientRects().length && !one.disabled).map((one, n) => (one.dataset.stop = n))"
    )
    reached = []
    for _ in range(len(expected) + 60):
        browser.press("Tab", 9)
        stop, kind, outline = browser.evaluate(
            "(e => [e.dataset.stop ?? '', e.className + e.tagName, parseFloat(getComputedStyle(e).outlineWidth)])"
            "(document.activeElement)"
        )
        reached.append(stop)
        if "mg-clip" in kind:
            assert outline >= 3
        if kind.endswith("BODY"):
            break
    unreached = sorted(set(map(str, expected)) - set(reached))
    assert unreached == [], browser.evaluate(f"document.querySelector('[data-stop=\"{unreached[0]}\"]').outerHTML")
    listed = browser.evaluate("[...document.querySelectorAll('.mg-name')].map(one => one.textContent)")
    browser.evaluate("document.querySelectorAll('.mg-clip')[4].focus()")
    browser.press("Enter", 13)
    browser.wait_for(f"document.querySelector('#mg-title').textContent === '{listed[4]}'")
    assert browser.evaluate("document.activeElement.getAttribute('aria-current')") == "true"  # focus stays in the list
    browser.evaluate("document.querySelector('#mg-later').focus()")
    browser.press("Enter", 13)
    browser.wait_for(f"document.querySelector('#mg-title').textContent === '{listed[5]}'")


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_contrast_of_text(browser: Browser, page: Any, dark: bool) -> None:
    _open(browser, page, dark=dark)
    ratio, where = browser.evaluate(CONTRAST)
    assert ratio >= 4.5, where
    assert violations(browser, axe_script()) == []
    if dark:
        _shot(browser, "dark", 900)


def test_only_clips_of_the_dataset_are_served(page: Any) -> None:
    """No route, of the explorer or of Gradio, serves another file."""
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
