"""A disk that is really full: one line, nothing lost, and the same command goes on when there is space again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.curate import init_work
from microg4m_hf.curate.page.board import ReviewBoard
from microg4m_hf.curate.protocols import CurateSettings
from microg4m_hf.curate.review_log import read_events
from tests.support.curated import work_of_sample
from tests.support.drawn_films import DETECTOR, write_films

PAGE = 4096
Resize = Callable[[int], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """A small disk of its own, and a function that sets how many bytes are free on it."""
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root on Linux")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this machine mounts no disks: {mounted.stderr.decode().strip()}")

    def leave_free(size: int) -> None:
        state = os.statvfs(place)
        used = (state.f_blocks - state.f_bfree) * state.f_frsize
        words = ["mount", "-o", f"remount,size={used + size}", str(place)]
        subprocess.run(words, check=True, capture_output=True)

    try:
        yield place, leave_free
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def results(work: Path) -> dict[str, bytes]:
    parts = ("clips", "people", "tracks")
    files = [path for part in parts for path in (work / part).rglob("*") if path.is_file()]
    return {path.relative_to(work).as_posix(): path.read_bytes() for path in files}


def test_a_run_goes_on_when_there_is_space_again(
    disk: tuple[Path, Resize], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, leave_free = disk
    films = write_films(tmp_path / "films", ("one",), count=100)
    settings = CurateSettings().override(["cut.height=72", "people.turns=1", f"people.detector={DETECTOR}"])
    for work in (tmp_path / "whole", place / "work"):
        init_work(films, work, domain="real", sources=films / "sources.csv", settings=settings)
    assert main(["curate", "run", str(tmp_path / "whole")]) == 0
    expected = results(tmp_path / "whole")
    capsys.readouterr()
    refused = 0
    for pages in (0, 1, 2, 4, 8, 16, 64):
        leave_free(pages * PAGE)
        code = main(["curate", "run", str(place / "work")])
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("microg4m: ")]
        if code == 0:
            break
        refused += 1
        assert code == 2 and len(said) == 1 and "No space left on device" in said[0], said
    assert refused >= 2
    leave_free(64 << 20)
    assert main(["curate", "run", str(place / "work")]) == 0
    assert results(place / "work") == expected
    assert not list((place / "work").rglob("*.part"))


def test_a_review_loses_nothing_that_was_confirmed(disk: tuple[Path, Resize]) -> None:
    place, leave_free = disk
    work = work_of_sample(place / "work", 3)
    board, video_id = ReviewBoard(work), min(clip.video_id for clip in work.clips())
    leave_free(3 * PAGE)
    said, confirmed = "", []
    for number in range(40):
        text = f"{number} " + "words " * 200
        said = board.do("anna", video_id, {"do": "caption", "text": text})
        if said.startswith("!"):
            break
        confirmed.append(" ".join(text.split()))
    assert confirmed and "Nothing was saved: No space left on device. Free some space and press the key again." in said
    assert [event.values["text"] for event in read_events(work.folder)] == confirmed
    assert (work.folder / "review" / "anna.jsonl").read_bytes().endswith(b"\n")
    leave_free(64 << 20)
    assert board.do("anna", video_id, {"do": "caption", "text": text}) == "The caption is saved."
    assert board.state(video_id).caption == " ".join(text.split())
    assert len(read_events(work.folder)) == len(confirmed) + 1
