"""Ids, origins and licenses of films, and one line for everything that cannot be used."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.curate import init_work, run_work
from microg4m_hf.curate.clips.shots import difference_hash, find_cuts, hash_distance, shrink
from microg4m_hf.curate.protocols import CurateSettings, FilterSettings, ShotSettings
from microg4m_hf.curate.verdicts import duplicates, judge, judge_clips
from microg4m_hf.curate.work import ClipRecord, Work
from tests.support.drawn_films import DETECTOR, walk, write_films
from tests.support.videos import pictures, write_video

SMALL = CurateSettings().override([f"people.detector={DETECTOR}", "people.turns=1", "cut.height=72"])


def test_ids_never_collide_and_stay(tmp_path: Path) -> None:
    """Two films of one name, also in another case, get ids of their content; adding films changes no id."""
    for folder, name, seed in (("a", "Film", 1), ("b", "film", 2), ("c", "Other film", 3)):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / f"{name}.mp4", walk(4, seed=seed))
    shutil.copyfile(tmp_path / "c" / "Other film.mp4", tmp_path / "c" / "again.mp4")
    first = init_work([tmp_path / "a", tmp_path / "b"], tmp_path / "work", domain="real", settings=SMALL)
    names = [source.source for source in first.work.sources()]
    assert len({name.casefold() for name in names}) == 2 and all("-" in name for name in names)
    second = init_work([tmp_path / "c", tmp_path / "a"], tmp_path / "work", domain="movie")
    assert [source.source for source in second.work.sources()] == [*names, "Other-film"]
    assert [source.domain for source in second.work.sources()] == ["real", "real", "movie"]
    assert second.skipped == [f"{tmp_path}/c/again.mp4 has the same content as {tmp_path}/c/Other film.mp4"]
    assert second.work.settings == SMALL


def test_films_that_cannot_be_cut_are_left_out_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = write_films(tmp_path / "films", ("good",), count=4)
    (films / "empty.mp4").touch()
    (films / "text.mkv").write_text("nothing")
    outside = write_video(tmp_path / "outside.mp4", walk(4, seed=5))
    (films / "link.mp4").symlink_to(outside)
    assert main(["curate", "init", str(films), "--out", str(tmp_path / "work"), "--domain", "real"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line for line in lines if line.startswith("left out")) == [
        f"left out: {films}/empty.mp4: the file is empty; download or copy it again",
        f"left out: {films}/link.mp4 is a link that leads out of {films}; name the film itself",
        f"left out: {films}/text.mkv: cannot be read as a video (Invalid data found when processing input); "
        "download or copy it again",
    ]
    assert [source.source for source in Work(tmp_path / "work").sources()] == ["good"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,license\ngood.mp4,WTFPL\n", "line 2: unknown license: 'WTFPL' (known are "),
        ("path,license\n../other.mp4,MIT\n", "line 2: the path leaves the folder of the file: '../other.mp4'"),
        ("path,license,domain\ngood.mp4,MIT,news\n", "line 2: the domain is neither real nor movie: 'news'"),
        ("name,terms\n", "line 1: the first line does not name path (or source) and license (name the columns there)"),
    ],
)
def test_a_wrong_table_of_sources(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = write_films(tmp_path / "films", ("good",), count=4)
    (films / "sources.csv").write_text(text)
    words = ["curate", "init", str(films), "--out", str(tmp_path / "work"), "--domain", "real"]
    assert main([*words, "--sources", str(films / "sources.csv")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "work").exists()


def test_other_mistakes_are_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = write_films(tmp_path / "films", ("good",), count=100)
    (tmp_path / "none").mkdir()
    work = str(tmp_path / "work")
    init = ["curate", "init", str(films), "--out", work]
    cases = [
        (["curate", "init", str(tmp_path / "none"), "--out", work], "there is no film that can be cut"),
        (["curate", "init", str(tmp_path / "gone.mp4"), "--out", work], "is neither a film nor a folder"),
        (init, "the film has no domain"),
        ([*init, "--domain", "real", "--set", "people.turns=3"], "people.turns is 3, it can be 1, 4"),
        ([*init, "--domain", "real", "--set", "people.turn=4"], "did you mean people.turns?"),
        (["curate", "run", str(films)], "is not a work folder"),
    ]
    for words, message in cases:
        assert main(words) == 2, words
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert main([*init, "--domain", "real", "--set", "cut.height=72"]) == 0
    assert main(["curate", "run", work, "--detector", "someone/yolo"]) == 2
    assert "the license of this model was not checked; read it, then pass --accept-license" in capsys.readouterr().err
    write_video(films / "good.mp4", walk(100, seed=9))
    assert main(["curate", "run", work, "--until", "cut", "--set", "cut.crf=20"]) == 0
    assert "good: " in (shown := capsys.readouterr().out) and "was changed after `microg4m curate init`" in shown
    table = Path(work, "sources.csv")
    table.write_text(table.read_text().replace("\ngood,", "\n../good,"))
    assert main(["curate", "run", work]) == 2
    assert "the source cannot be part of a clip name: '../good'" in (shown := capsys.readouterr().err)
    assert shown.count("\n") == 1 and not (tmp_path / "work" / "good").exists()


def test_a_full_disk_is_one_line_and_the_run_goes_on(tmp_path: Path) -> None:
    films = write_films(tmp_path / "films", ("one", "two"), count=100)
    init_work(films, tmp_path / "work", domain="real", sources=films / "sources.csv", settings=SMALL)
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
    limit += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code = limit + "from microg4m_hf.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "curate", "run", str(tmp_path / "work")]
    environment = os.environ | {"TQDM_DISABLE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.strip().splitlines()[-1].startswith("microg4m: ") and "Traceback" not in ran.stderr
    state = run_work(Work(tmp_path / "work"))
    assert state["filter"] == {"kept": 2}
    assert not list((tmp_path / "work").rglob("*.part"))


def clip_record(name: str, source: str) -> ClipRecord:
    return ClipRecord(name, source, "real", "", Path(), 64, 48)


def test_duplicates_are_found_across_sources_only() -> None:
    original = pictures(9, 96, 128, seed=1)
    small = shrink(original)
    again = shrink(original[:, ::2, ::2])  # the same at a quarter of the size
    other = shrink(pictures(9, 96, 128, seed=2))
    one, two, three = (difference_hash(part) for part in (small, again, other))
    assert hash_distance(one, two) <= 6 < 40 < hash_distance(one, three)
    clips = [(clip_record("A_000", "A"), one), (clip_record("A_001", "A"), one), (clip_record("B_000", "B"), two)]
    clips.append((clip_record("C_000", "C"), three))
    found = [(first.video_id, second.video_id) for first, second, _ in duplicates(clips, 6)]
    assert found == [("A_000", "B_000"), ("A_001", "B_000")]
    assert not list(duplicates(clips, -1))


@pytest.mark.parametrize(
    ("shot", "scores", "reason", "value"),
    [
        ({"cuts": [44], "brightness": 90, "change": 5}, [0.9] * 90, "cut inside", 1),
        ({"cuts": [], "brightness": 2.5, "change": 5}, [0.9] * 90, "black", 2.5),
        ({"cuts": [], "brightness": 90, "change": 0.0}, [0.9] * 90, "still", 0.0),
        ({"cuts": [], "brightness": 90, "change": 5}, [0.9] * 53 + [0.6] * 37, "few people", 0.5889),
        ({"cuts": [], "brightness": 90, "change": 5}, [0.9] * 54 + [0.6] * 36, "", 0.6),
    ],
)
def test_verdicts_have_a_reason_and_a_number(shot: dict, scores: list[float], reason: str, value: float) -> None:
    verdict = judge("A_000", shot, scores, FilterSettings())
    assert (verdict.reason, verdict.kept, verdict.value) == (reason, not reason, value)


def test_a_repeated_film_is_dropped_as_a_duplicate(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name, crf in (("one", 23), ("two", 28)):  # the same, encoded again
        write_video(films / f"{name}.mp4", pictures(90, 72, 96), crf=crf)
    init_work(
        films, tmp_path / "work", domain="real", settings=SMALL.override(["filter.person_share=0", "filter.max_cuts=9"])
    )
    run_work(Work(tmp_path / "work"))
    verdicts = judge_clips(Work(tmp_path / "work"))
    assert verdicts["one_000"].kept
    assert (verdicts["two_000"].reason, verdicts["two_000"].other) == ("duplicate", "one_000")
    with (tmp_path / "work" / "stages" / "filter" / "verdicts.csv").open() as file:
        assert [row["reason"] for row in csv.DictReader(file)] == ["", "duplicate"]


def every_tenth(path: str) -> list[int]:
    """Say that a new shot begins at every tenth frame."""
    return list(range(0, 30, 10))


def test_cuts_are_found(tmp_path: Path) -> None:
    import numpy as np

    path = write_video(
        tmp_path / "clip.mp4", np.concatenate([pictures(20, 96, 128, 1), 255 - pictures(25, 96, 128, 7)])
    )
    assert find_cuts(path, ShotSettings()) == [20]
    assert find_cuts(path, ShotSettings(method=f"{__name__}:every_tenth")) == [10, 20]
