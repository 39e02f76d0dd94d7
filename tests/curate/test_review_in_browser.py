"""The review page in Chromium, with the keyboard only: ten clips as a reviewer would, and a crash in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.curate import review_work
from microg4m_hf.curate.review_log import read_events
from microg4m_hf.curate.reviews import reviewed_state
from microg4m_hf.curate.work import Work
from tests.support.browser import Browser, chromium
from tests.support.curated import work_of_sample

pytestmark = [
    pytest.mark.skipif(find_spec("gradio") is None, reason="no Gradio; pip install 'microg4m-hf[explore]'"),
    pytest.mark.skipif(chromium() is None, reason="no Chromium; apt-get install chromium"),
]

CODES = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, " ": 32}
TITLE = "document.querySelector('#rv-title')?.textContent"
NOTICE = "document.querySelector('.rv-notice')?.textContent"
SERIAL = "Number(document.querySelector('.rv-panel')?.dataset.serial ?? 0)"
SELECTED = "Number(document.querySelector('.rv-selected')?.dataset.person ?? -1)"
FRAME = "Number(document.querySelector('.mg-boxes')?.dataset.frame ?? 0)"


class Reviewer:
    """Presses keys and counts them; waits for the answer to each key that is sent to the server."""

    def __init__(self, browser: Browser) -> None:
        self.browser, self.strokes = browser, 0

    def press(self, *keys: str, answered: bool = True) -> None:
        for key in keys:
            before = self.browser.evaluate(SERIAL)
            self.browser.press(key, CODES.get(key, ord(key[0].upper())))
            self.strokes += 1
            if answered:
                self.browser.wait_for(f"{SERIAL} > {before}")

    def local(self, *keys: str) -> None:
        """Press keys that the page answers by itself."""
        self.press(*keys, answered=False)

    def type(self, text: str) -> None:
        self.browser.type(text)
        self.strokes += len(text)

    def save(self) -> None:
        """Press Ctrl+Enter."""
        before = self.browser.evaluate(SERIAL)
        self.browser.press("Enter", 13, modifiers=2)
        self.strokes += 1
        self.browser.wait_for(f"{SERIAL} > {before}")

    def select_all(self) -> None:
        """Press Ctrl+A."""
        self.browser.press("a", 65, modifiers=2)
        self.strokes += 1

    def see(self, script: str) -> Any:
        return self.browser.wait_for(script)

    def at(self) -> str:
        return str(self.browser.evaluate(TITLE))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def _shot(browser: Browser, name: str) -> None:
    kept = os.environ.get("MICROG4M_SCREENSHOTS")
    if kept:
        browser.screenshot(Path(kept) / f"review_{name}.png", 900)


def _open(browser: Browser, address: str) -> Reviewer:
    browser.messages.clear()
    browser.requests.clear()
    browser.open(address, width=1400, height=900)
    browser.wait_for(f"{TITLE} !== undefined && {FRAME} > 0")
    return Reviewer(browser)


def _draft(work: Work, clip: str) -> None:
    """Leave a draft of a caption as the stage ``texts`` does."""
    from microg4m_hf.curate.drafting import FOLDER, text_settings
    from microg4m_hf.inference.journal import Journal

    settings = text_settings("m", runner="api")
    (work.folder / FOLDER).mkdir(parents=True)
    (work.folder / FOLDER / "settings.json").write_text(json.dumps(settings.to_dict()))
    with Journal(work.folder / FOLDER, settings.fingerprint) as journal:
        journal.add({"id": f"{clip}:caption", "status": "ok", "text": "Two people float beside a hatch."})


@pytest.mark.slow
def test_ten_clips_with_the_keyboard_only(browser: Browser, tmp_path: Path) -> None:
    work = work_of_sample(tmp_path, 11)  # the filter dropped one
    order = sorted(clip.video_id for clip in work.clips())
    people = {name: sorted(one.people) for name, one in reviewed_state(tmp_path).items()}
    _draft(work, order[0])
    page = review_work(tmp_path, reviewer="anna", port=0, block=False)
    try:
        hands = _open(browser, page.local_url)
        seen: list[tuple[str, int]] = []

        def finish(*keys: str) -> None:
            clip = hands.at()
            hands.press(*keys)
            hands.see(f"{TITLE} !== {json.dumps(clip)}")
            seen.append((clip, hands.strokes - sum(count for _, count in seen)))

        # 1: two people with two actions each; keeping is refused before; the proposed caption is accepted.
        first = hands.at()
        assert first == order[0]
        _shot(browser, "begin")
        hands.press("k")
        assert "has no action yet" in browser.evaluate(NOTICE)
        for _ in people[first]:
            hands.press("1", "2")
            hands.local("ArrowDown")
        hands.press("y")
        _shot(browser, "labeled")
        finish("k")
        # 2: split at a frame that was looked for, undone, split again, merged back.
        second = hands.at()
        hands.local(" ")
        hands.see("document.querySelector('#rv-player video').paused")
        hands.local("g")  # wherever it stopped, the last frame has no next one
        hands.type("10")
        hands.local("Enter")
        hands.local("ArrowRight")  # from here on, the frame is that of the step
        start = browser.evaluate(FRAME)
        hands.local("ArrowRight", "ArrowRight")
        hands.see(f"{FRAME} === {start} + 2")
        hands.local("g")
        hands.type("40")
        hands.local("Enter")
        hands.see(f"{FRAME} === 40")
        hands.press("s")
        assert "From frame 40 on" in browser.evaluate(NOTICE) and browser.evaluate(FRAME) == 40  # the video stays
        hands.press("u", "s")
        _shot(browser, "split")
        hands.local("m")
        _shot(browser, "merge")
        numbers = browser.evaluate("[...document.querySelectorAll('.rv-mode li')].map(one => one.textContent)")
        assert len(numbers) == len(people[second])
        hands.press(str(len(numbers)))  # the person that the split made
        others = browser.evaluate("[...document.querySelectorAll('.rv-person')].length")
        for _ in range(others):
            hands.press("3")
            hands.local("ArrowDown")
        finish("k")
        # 3: the head of a person points to the right from frame 20 on, then to the lower left; one mark is undone.
        hands.local("g")
        hands.type("20")
        hands.local("Enter")
        hands.see(f"{FRAME} === 20")
        hands.local("o")
        _shot(browser, "head")
        hands.press("ArrowRight")
        assert "points to 90°" in browser.evaluate(NOTICE) and browser.evaluate(FRAME) == 20
        hands.local("o")
        hands.press("1")
        assert "down left from frame 20" in browser.evaluate("document.querySelector('.rv-turned').textContent")
        hands.press("u")
        turned = (hands.at(), browser.evaluate(SELECTED))
        # Then a person is excluded, one is deleted and restored; an action from the list of all.
        hands.press("e", "e", "x", "u")
        for _ in people[hands.at()]:
            hands.local("a")
            hands.type("hug")
            _shot(browser, "search")
            hands.press("Enter")
            hands.local("ArrowDown")
        finish("k")
        # 4: dropped with a reason; 5: with a reason of its own.
        hands.local("d")
        _shot(browser, "drop")
        finish("3")
        hands.local("d", "0")
        hands.type("subtitles")
        finish("Enter")
        # 6: a caption and a question are written.
        hands.local("c")
        hands.select_all()
        hands.type("A person floats.")
        _shot(browser, "caption")
        hands.save()
        hands.local("q")
        hands.type("Who floats?\nA person.")
        hands.save()
        for _ in people[hands.at()]:
            hands.press("1")
            hands.local("ArrowDown")
        finish("k")
        # 7 to 10: one action each, and on.
        for _ in range(4):
            for _ in people[hands.at()]:
                hands.press("1")
                hands.local("ArrowDown")
            finish("k")
        hands.see("document.querySelector('.rv-panel h2')?.textContent === 'Done'")
        _shot(browser, "done")
        assert [clip for clip, _ in seen] == [clip for clip in order if clip in dict(seen)] and len(seen) == 10
        state = reviewed_state(tmp_path)
        assert [state[clip].keep for clip, _ in seen] == [True] * 3 + [False] * 2 + [True] * 5
        assert state[turned[0]].people[turned[1]].marks == ((20, 90),)
        assert state[first].caption == "Two people float beside a hatch."
        assert all(one.actions == {12, 79} for one in state[first].people.values())
        assert sorted(state[second].people) == people[second]
        assert (state[seen[5][0]].caption, state[seen[5][0]].questions) == (
            "A person floats.",
            [{"Q": "Who floats?", "A": "A person."}],
        )
        assert state[seen[3][0]].reason == "too dark or blurred" and state[seen[4][0]].reason == "subtitles"
        plain = [count for _, count in seen[6:]]
        assert all(count == 2 * len(people[clip]) + 1 for clip, count in seen[6:]), plain
        print("key strokes per clip:", dict(seen))
        # The filter's clip, and the list of keys.
        hands.press("v", "v")
        assert hands.at() not in dict(seen)
        hands.see("document.querySelector('.rv-keys').open")  # because anna was new
        hands.local("?")
        hands.see("!document.querySelector('.rv-keys').open")
        _shot(browser, "dropped")
        outside = [url for url in browser.requests if not url.startswith((page.local_url, "data:", "blob:"))]
        assert outside == [] and browser.messages == []
    finally:
        page.close(verbose=False)


SERVE = """
import sys
from microg4m_hf.curate import review_work
page = review_work(sys.argv[1], overlap=1.0, port=int(sys.argv[2]), block=False)
print(page.local_url, flush=True)
sys.stdin.read()
"""


def _serve(work: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(work), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.mark.slow
def test_two_reviewers_and_a_crash_in_the_middle_lose_nothing(
    browser: Browser, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two reviewers use one page; the server is killed while one edits; both go on where they were."""
    work_of_sample(tmp_path, 4)
    other = Browser(tmp_path_factory.mktemp("other"))
    server, address = _serve(tmp_path, 0)
    try:
        anna, ben = _open(browser, f"{address}?reviewer=anna"), _open(other, f"{address}?reviewer=ben")
        clip = anna.at()
        anna.press("1", "2")
        ben.press("3")
        ben.local("d")
        ben.press("2")
        confirmed = [(event.reviewer, event.do) for event in read_events(tmp_path)]
        assert sorted(confirmed) == [("anna", "actions"), ("anna", "actions"), ("ben", "actions"), ("ben", "drop")]
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        with (tmp_path / "review" / "anna.jsonl").open("ab") as file:
            file.write(b'{"id": "half an ev')  # what a power failure leaves
        server, address = _serve(tmp_path, 0)
        anna = _open(browser, f"{address}?reviewer=anna")
        assert anna.at() == clip  # still the first clip that anna has not finished
        shown = browser.evaluate("[...document.querySelectorAll('.rv-person .mg-true li')].map(one => one.textContent)")
        assert "stand" in shown
        ben = _open(other, f"{address}?reviewer=ben")
        assert ben.at() != clip or reviewed_state(tmp_path)[clip].judgments["ben"].keep is None
        anna.local("ArrowDown")
        anna.press("1")
        assert [(event.reviewer, event.do) for event in read_events(tmp_path)][:4] == confirmed
        assert len(read_events(tmp_path)) == 5
    finally:
        other.close()
        server.kill()
        server.communicate()
