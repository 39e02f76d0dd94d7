"""Real films and a real detector: who is kept, and people who are not upright. `make footage` downloads both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.curate import init_work, judge_clips, release_work, run_work
from microg4m_hf.curate.clips.cut import encode_clip
from microg4m_hf.curate.clips.films import open_film, pictures
from microg4m_hf.curate.people.quarter_turns import detect_in_turns
from microg4m_hf.curate.protocols import CurateSettings, CutSettings, PeopleSettings
from tests.support import nanodet
from tests.support.footage import CACHE, MISSING, has_footage, write_astronaut

pytestmark = [pytest.mark.skipif(not has_footage(), reason=MISSING), pytest.mark.slow]


def first_pictures(name: str, count: int) -> list:
    with open_film(CACHE / name) as film:
        return [frame for _, (_, frame) in zip(range(count), pictures(film, CACHE / name, 30, 240), strict=False)]


def test_four_turns_find_people_who_are_not_upright() -> None:
    with open_film(CACHE / "vtest.avi") as film:
        frame = next(f for n, f in pictures(film, CACHE / "vtest.avi", 10, None) if n == 300).to_ndarray(format="rgb24")
    for turn in range(4):
        turned = [np.ascontiguousarray(np.rot90(frame, turn))]
        people = [
            int((detect_in_turns(turned, nanodet.detect, PeopleSettings(turns=turns))[0][1] > 0.6).sum())
            for turns in (1, 4)
        ]
        assert people[1] >= 5
        assert people[0] >= 5 if turn == 0 else people[0] <= 2


def test_real_films_become_a_release(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name in ("vtest.avi", "bikes.mp4", "bigbuckbunny.mp4"):
        encode_clip(films / f"{Path(name).stem}.mp4", first_pictures(name, 90), CutSettings())
    write_astronaut(films / "astronaut.mp4", 90)
    rows = [f"{path.name},LicenseRef-test" for path in sorted(films.glob("*.mp4"))]
    (films / "sources.csv").write_text("path,license\n" + "\n".join(rows))
    words = [f"people.detector={nanodet.DETECTOR}", "people.every=15", "cut.height=240"]
    settings = CurateSettings().override(words)
    work = init_work(films, tmp_path / "work", domain="real", sources=films / "sources.csv", settings=settings).work
    run_work(work)
    assert {name: verdict.reason for name, verdict in judge_clips(work).items()} == {
        "astronaut_000": "",
        "bigbuckbunny_000": "few people",
        "bikes_000": "cut inside",
        "vtest_000": "",
    }
    astronaut = work.result("tracks", "astronaut_000")["boxes"]
    assert {row[1] for row in astronaut} == {1} and len(astronaut) >= 60  # one id, all the way around
    summary = release_work(work, tmp_path / "out", unreviewed=True)
    assert summary["clips"] == 2 and summary["people"] >= 4
