"""From drawn films to a release: every stage, resumed, changed, and loaded as MicroG-4M itself is."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import microg4m_hf
from microg4m_hf.cli.main import main
from microg4m_hf.curate import CurateSettings, ReviewLog, release_work
from microg4m_hf.curate.action_proposals import read_proposals
from microg4m_hf.curate.drafting import read_drafts
from microg4m_hf.curate.reviews import tracks_digest
from microg4m_hf.curate.stages import run_work, select_missing, stage_items
from microg4m_hf.curate.work import Work
from microg4m_hf.data.check import check
from microg4m_hf.data.orientation import read_orientations
from microg4m_hf.data.release.layout import find_layout
from microg4m_hf.errors import MicroG4MError
from tests.support.bad_api_server import BadServer
from tests.support.drawn_films import DETECTOR, write_films

SMALL = ("cut.height=72", "people.turns=1")


def fingerprint(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a release."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder whose stages have run on two films."""
    folder = tmp_path_factory.mktemp("curate")
    films = write_films(folder / "films")
    words = ["curate", "init", str(films), "--out", str(folder / "work"), "--domain", "real"]
    assert main([*words, "--sources", str(films / "sources.csv"), "--detector", DETECTOR, "--set", *SMALL]) == 0
    assert main(["curate", "run", str(folder / "work")]) == 0
    return folder / "work"


def test_films_become_a_release(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curate", "status", str(work), "--clips"]) == 0
    assert "Sky-lab_000  kept" in capsys.readouterr().out
    assert main(["curate", "release", str(work), "--out", str(tmp_path / "out"), "--unreviewed"]) == 0
    report = check(tmp_path / "out", decode=True, workers=1)
    assert report["faults"] == 0, report["problems"]
    rows = microg4m_hf.load_dataset("har", data_dir=str(tmp_path / "out"), split="train")
    assert sorted(rows["video_id"]) == ["Mir_000", "Sky-lab_000"]
    person = rows[0]["persons"][0]
    assert len(person["frames"]) == 90 and person["actions"] == []
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| Mir | real | 1 | CC-BY-4.0 | https://example.org/0 | Agency 0 |" in card


def test_a_second_run_has_nothing_to_do(work: Path) -> None:
    opened = Work(work)
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*.json")}
    for stage in ("cut", "shots", "people", "tracks"):
        items = stage_items(opened, stage, opened.sources())
        assert len(items) == 2 and not select_missing(opened, stage, items, opened.records(stage))
    run_work(opened)
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*.json")} == before


def test_a_changed_setting_reruns_its_stage_and_changing_back_reruns_nothing(work: Path) -> None:
    before = Work(work)
    changed = Work(work, before.settings.override(["tracks.min_area=0.5"]))
    people = (work / "people" / "Mir_000.json").stat().st_mtime_ns
    tracks = (work / "tracks" / "Mir_000.json").read_bytes()
    state = run_work(changed)
    assert state["stages"]["tracks"]["done"] == 2
    assert changed.result("tracks", "Mir_000")["boxes"] == []
    assert (work / "people" / "Mir_000.json").stat().st_mtime_ns == people
    run_work(before)
    assert (work / "tracks" / "Mir_000.json").read_bytes() == tracks
    lines = (work / "stages" / "tracks" / "items.rank0.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4  # two clips with each setting: nothing was tracked a third time


def test_models_of_the_settings_propose_as_stages(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without models both stages are skipped; with models they run, resume, and ask nothing twice."""
    torch = pytest.importorskip("torch", reason="no torch; pip install 'microg4m-hf[train]'")
    pytest.importorskip("openai", reason="no openai; pip install 'microg4m-hf[api]'")
    from microg4m_hf import models

    torch.manual_seed(0)
    models.create("tiny_slow").eval().save_pretrained(tmp_path / "model")
    copy = str(tmp_path / "work")
    shutil.copytree(work, copy)
    assert main(["curate", "run", copy]) == 0
    said = capsys.readouterr().out
    assert "  actions skipped: no model; name one with --set actions.model=MODEL\n" in said
    assert said.endswith("  texts   skipped: no model; name one with --set texts.model=MODEL\n")
    assert main(["curate", "run", copy, "--set", f"actions.model={tmp_path}/none"]) == 2
    assert f"{tmp_path}/none" in capsys.readouterr().err and Work(copy).settings.actions.model is None
    assert main(["curate", "run", copy, "--set", "texts.base_url=http://localhost:9/v1"]) == 2
    assert "texts.base_url has no effect with texts.runner=local" in capsys.readouterr().err

    replies = [{"Q": "Who walks?", "A": "A figure."}]

    def plan(asked: str, attempt: int) -> str:
        return f"ok:{json.dumps(replies) if asked.startswith('The description') else 'A figure walks.'}"

    with BadServer(plan) as server:
        texts = ["texts.model=served", "texts.runner=api", f"texts.base_url={server.url}", "texts.frames=1"]
        words = ["--set", f"actions.model={tmp_path / 'model'}", *texts]
        assert main(["curate", "run", copy, *words, "--until", "actions"]) == 0
        assert "  actions 2 done\n" in capsys.readouterr().out and not server.bodies
        assert sorted(read_proposals(copy)) == ["Mir_000", "Sky-lab_000"]
        assert main(["curate", "run", copy]) == 0
        assert "texts: 4 done, 0 failed, 0 missing" in capsys.readouterr().out and len(server.bodies) == 4
        assert main(["curate", "run", copy]) == 0 and len(server.bodies) == 4
        assert read_drafts(copy)["Mir_000"].questions == replies
        with pytest.raises(MicroG4MError, match="needs a single process"):
            run_work(Work(copy), rank=0, world_size=2)
    lines = (tmp_path / "work" / "stages" / "actions" / "items.rank0.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2


def test_a_film_without_a_license_is_not_released(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (work / "sources.csv").read_text(encoding="utf-8")
    (work / "sources.csv").write_text(text.replace("CC-BY-4.0", "", 1), encoding="utf-8")
    try:
        assert main(["curate", "release", str(work), "--out", str(tmp_path / "out"), "--unreviewed"]) == 2
    finally:
        (work / "sources.csv").write_text(text, encoding="utf-8")
    assert "the film has no license: 'Mir'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_clips_that_nobody_reviewed_are_not_released(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["curate", "release", str(work), "--out", str(tmp_path / "out")]) == 2
    assert "2 clips are not reviewed (Mir_000, Sky-lab_000)" in capsys.readouterr().err


def test_a_clip_without_tracks_is_not_released(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(work, tmp_path / "work")
    (tmp_path / "work" / "tracks" / "Mir_000.json").unlink()
    words = ["curate", "release", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--unreviewed"]
    assert main(words) == 2
    assert "1 clips are not finished (Mir_000)" in capsys.readouterr().err
    run_work(Work(tmp_path / "work"))
    assert main(words) == 0


def test_a_changed_or_missing_clip_is_cut_again_as_the_message_says(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(work, tmp_path / "work")
    copy, released = Work(tmp_path / "work"), ["--out", str(tmp_path / "out"), "--unreviewed"]
    changed, missing = (clip.path for clip in copy.clips()[:2])
    before = changed.read_bytes(), missing.read_bytes()
    changed.write_bytes(before[0] + b"changed")
    missing.unlink()
    capsys.readouterr()
    assert main(["curate", "release", str(copy.folder), *released]) == 2
    assert "move the file away and run `microg4m curate run` again" in capsys.readouterr().err
    changed.unlink()
    assert main(["curate", "release", str(copy.folder), *released]) == 2
    assert "the clip is missing (run `microg4m curate run` again)" in capsys.readouterr().err
    assert main(["curate", "run", str(copy.folder)]) == 0
    assert (changed.read_bytes(), missing.read_bytes()) == before
    assert main(["curate", "release", str(copy.folder), *released]) == 0
    # Another version of the encoder had cut it: the new clip has other bytes than those that were recorded.
    journal = copy.folder / "stages" / "cut" / "items.rank0.jsonl"
    journal.write_text(journal.read_text().replace(copy.clips()[0].sha256, "0" * 64))
    changed.unlink()
    assert main(["curate", "run", str(copy.folder)]) == 0
    assert main(["curate", "release", str(copy.folder), *released]) == 0


def test_another_folder_is_never_replaced(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    assert main(["curate", "release", str(work), "--out", str(tmp_path), "--unreviewed"]) == 2
    assert "is no release of a curation" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_two_releases_are_equal(work: Path, tmp_path: Path) -> None:
    for _ in range(2):  # the second replaces the first
        assert main(["curate", "release", str(work), "--out", str(tmp_path / "one" / "out"), "--unreviewed"]) == 0
    assert main(["curate", "release", str(work), "--out", str(tmp_path / "two" / "out"), "--unreviewed"]) == 0
    assert fingerprint(tmp_path / "one" / "out") == fingerprint(tmp_path / "two" / "out")


def test_reviews_decide_what_is_released(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People overrule the filter, in both directions; their actions, captions and questions are in the release."""
    copy = tmp_path / "work"
    shutil.copytree(work, copy)
    settings = Work(copy).settings.override(["filter.person_score=0.95"])  # the filter drops both clips
    settings.save(copy / "curate.yaml")
    ann = ReviewLog(copy, "ann")
    ann.append("Mir_000", "actions", person=1, actions=[12, 79])
    ann.append("Mir_000", "caption", text="One figure walks.")
    ann.append("Mir_000", "questions", pairs=[{"Q": "Who walks?", "A": "One figure."}])
    ann.append("Mir_000", "keep", reason="the detector is unsure of red figures")
    assert main(["curate", "release", str(copy), "--out", str(tmp_path / "out")]) == 0
    data = str(tmp_path / "out")
    rows = microg4m_hf.load_dataset("har", data_dir=data, split="train", scheme="official")
    assert [row["video_id"] for row in rows] == ["Mir_000"]
    assert rows[0]["persons"][0]["key_frame"] == 45 and len(rows[0]["persons"][0]["actions"]) == 2
    answers = microg4m_hf.load_dataset("vqa", data_dir=data, split="test", videos=False)
    assert answers[0]["question"] == "Who walks?"
    assert check(data)["faults"] == 0
    ReviewLog(copy, "bob").append("Mir_000", "drop", reason="blurred")
    capsys.readouterr()
    assert main(["curate", "release", str(copy), "--out", data]) == 2
    assert "reviewers disagree on 1 clips (Mir_000)" in capsys.readouterr().err
    assert main(["curate", "release", str(copy), "--out", data, "--rule", "newest"]) == 2
    assert "no clip is left to release" in capsys.readouterr().err


def test_a_release_says_how_people_are_turned(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the marks of a reviewer, else from the turn in which the detector was surest. `data check` reads it."""
    shutil.copytree(work, tmp_path / "work")
    copy, out = Work(tmp_path / "work"), str(tmp_path / "out")
    released = ["curate", "release", str(copy.folder), "--out", out, "--unreviewed"]
    assert main(released) == 0 and find_layout(out).orientation is None  # nobody looked
    four = copy.settings.override(["people.turns=4"])
    four.save(copy.folder / "curate.yaml")
    assert main(["curate", "run", str(copy.folder)]) == 0
    found = copy.result_path("people", "Sky-lab_000")  # the detector of this test is equally sure in all turns
    found.write_text(re.sub(r'"turns":\[\[90,90,90,90\]\]', '"turns":[[40,30,90,30]]', found.read_text()))
    digest = tracks_digest(copy.folder, "Mir_000")
    ReviewLog(copy.folder, "ann").append_all(
        [("Mir_000", "angle", {"person": 1, "frame": 1, "degrees": 90}),
         ("Mir_000", "angle", {"person": 1, "frame": 41, "degrees": 270.5}),
         ("Mir_000", "angle", {"person": 1, "frame": 51, "degrees": None})],
        digest,
    )  # fmt: skip
    capsys.readouterr()
    assert main(released) == 0
    assert "  angles          140\n" in capsys.readouterr().out  # frames 1 to 50, and 90 that the detector saw
    path = find_layout(out).orientation
    assert path is not None
    angles = read_orientations(path)
    assert [angles.get(("Mir_000", frame, 1)) for frame in (1, 21, 41, 50, 51)] == [90, 0.2, 270.5, 270.5, None]
    assert angles["Sky-lab_000", 90, 1] == 180
    text = path.read_text(encoding="utf-8")
    assert "Mir_000,1,1,90,reviewer\n" in text and "Sky-lab_000,1,1,180,detector\n" in text
    report = check(out)
    assert report["faults"] == 0
    path.write_text(f"{text}Mir_000,95,1,0,reviewer\n", encoding="utf-8")
    assert ["the person has no box in that frame" in one["text"] for one in check(out)["problems"]] == [True]
    path.write_text(f"{text}Mir_000,51,1,up,reviewer\n", encoding="utf-8")
    assert check(out)["problems"][0]["file"] == "annotation_files/orientation.csv"


def test_a_cluster_that_is_not_there_is_one_line(work: Path) -> None:
    words = [sys.executable, "-m", "microg4m_hf", "curate", "run", str(work), "--executor", "ray"]
    environment = os.environ | {"RAY_ADDRESS": "nowhere"}
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900, env=environment)
    assert ran.returncode == 2, ran.stderr
    assert "Ray cannot be reached at nowhere: " in ran.stderr.splitlines()[-1] and "Traceback" not in ran.stderr


@pytest.mark.slow
def test_processes_and_ray_find_the_same(work: Path, tmp_path: Path) -> None:
    """Two processes of a launch, and two workers of Ray, write the same results as one process."""
    for name in ("two", "ray"):
        (tmp_path / name).mkdir()
        for file in ("curate.yaml", "sources.csv"):
            shutil.copyfile(work / file, tmp_path / name / file)
    for rank in (1, 0):
        run_work(Work(tmp_path / "two"), rank=rank, world_size=2)
    assert {path.name for path in (tmp_path / "two" / "stages" / "people").glob("items*")} == {
        "items.rank0.jsonl",
        "items.rank1.jsonl",
    }
    words = [sys.executable, "-m", "microg4m_hf", "curate", "run", str(tmp_path / "ray"), "--executor", "ray"]
    # Ray lowers the priority of its workers so far that beside other work they would get a fiftieth of a processor.
    environment = os.environ | {"RAY_worker_niceness": "0"}
    words += ["--workers", "2"]
    for _ in range(5):
        ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900, env=environment)
        if "Ray cannot be started on this machine" not in ran.stderr:  # it gives its own processes 30 seconds
            break
    assert ran.returncode == 0, ran.stderr
    one = {name: fingerprint(work / name) for name in ("clips", "people", "tracks")}
    for name in ("two", "ray"):
        assert {part: fingerprint(tmp_path / name / part) for part in one} == one


def test_the_protocol_of_the_paper_from_film_to_key_frames(work: Path, tmp_path: Path) -> None:
    """Little moves, so every fifth frame counts from the third on: the key frame is 52, as in most of the release."""
    shutil.copytree(work, tmp_path / "work")
    settings = CurateSettings.of("paper", [f"people.detector={DETECTOR}"])
    settings.save(tmp_path / "work" / "curate.yaml")
    paper = Work(tmp_path / "work")
    assert paper.settings == settings
    run_work(paper)
    tracks = paper.result("tracks", "Mir_000")
    assert tracks["motion"] < 95 and (tracks["width"], tracks["height"]) == (96, 72)
    assert [row[0] for row in tracks["boxes"]] == list(range(15, 91))
    assert all(isinstance(value, int) for row in tracks["boxes"] for value in row[:6])
    ReviewLog(paper.folder, "ann").append_all(
        [("Mir_000", "actions", {"person": 1, "actions": [14]}), ("Mir_000", "keep", {"reason": ""})]
    )
    release_work(paper, tmp_path / "out", unreviewed=True)
    lines = (tmp_path / "out" / "train_ready" / "ava_all.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines] == [["Mir_000", "52"]]
