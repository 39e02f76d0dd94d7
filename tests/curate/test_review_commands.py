"""The commands around a review: proposals of models, export, import, status; and what wrong calls say."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.curate.action_proposals import propose_actions, read_proposals
from microg4m_hf.curate.page.board import ReviewBoard
from microg4m_hf.curate.page.review_app import PageHandlers, PageState
from microg4m_hf.curate.release_folder import release_work
from microg4m_hf.curate.review_log import ReviewLog
from microg4m_hf.curate.reviews import reviewed_state
from tests.support.bad_api_server import BadServer
from tests.support.curated import work_of_sample


@pytest.fixture(scope="module")
def action_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch", reason="no torch; pip install 'microg4m-hf[train]'")
    from microg4m_hf import models

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    models.create("tiny_slow").eval().save_pretrained(folder)
    return folder


def test_an_action_model_proposes_and_nothing_is_ticked(tmp_path: Path, action_model: Path) -> None:
    work = work_of_sample(tmp_path, 3)
    assert main(["curate", "actions", str(tmp_path), "--model", str(action_model)]) == 0
    proposals = read_proposals(tmp_path)
    kept = [name for name, one in ReviewBoard(work).verdicts.items() if one.kept]
    assert sorted(proposals) == sorted(kept)
    for name in kept:
        assert sorted(proposals[name]) == sorted(reviewed_state(tmp_path)[name].people)
        scores = [score for _, score in proposals[name][1]]
        assert len(scores) == 5 and scores == sorted(scores, reverse=True)
        assert all(not one.actions for one in reviewed_state(tmp_path)[name].people.values())
    panel = PageHandlers(ReviewBoard(work)).open_page(PageState("anna"), {"clip": kept[0]})[2]
    assert "the model proposes: " in panel and "no action yet" in panel
    assert propose_actions(tmp_path, str(action_model), clips=kept)["done_now"] == 0  # nothing is asked twice


def test_from_proposals_to_a_reviewed_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openai", reason="no openai; pip install 'microg4m-hf[api]'")
    work = work_of_sample(tmp_path / "work", 3)
    folder = str(work.folder)
    kept = sorted(name for name, one in ReviewBoard(work).verdicts.items() if one.kept)

    def plan(question: str, attempt: int) -> str:
        if question.startswith("The description"):
            return "ok:" + json.dumps([{"Q": "Who floats?", "A": "A person."}, {"Q": "Who floats?", "A": "Nobody."}])
        return "ok:A person floats."

    with BadServer(plan) as server:
        words = ["--model", "served", "--runner", "api", "--base-url", server.url, "--frames", "1", "--price-in", "1"]
        assert main(["curate", "texts", folder, *words]) == 0
    said = capsys.readouterr().out
    assert "texts: 4 done (4 now), 0 failed, 0 missing" in said and "4 requests, cost 0.4" in said
    assert "2 because the question is repeated" in said

    for who in ("anna", "ben"):
        log = ReviewLog(work.folder, who)
        for name in kept:
            for person in reviewed_state(work.folder)[name].people:
                log.append(name, "actions", person=person, actions=[12] if who == "anna" else [12, 79])
            log.append(name, "keep", reason="")
    ReviewLog(work.folder, "anna").append(kept[0], "caption", text="A person floats.")
    assert main(["curate", "release", folder, "--out", str(tmp_path / "release")]) == 2
    assert "reviewers disagree on 2 clips" in capsys.readouterr().err
    assert main(["curate", "status", folder]) == 0
    said = capsys.readouterr().out
    assert "reviews: 0 clips reviewed, 0 of them kept, 2 disputed, 1 open" in said
    assert "actions of person 1: anna: 12; ben: 12 79" in said and "agreement (Krippendorff's alpha) on 2 clips" in said
    release = release_work(work, tmp_path / "release", rule="newest")
    assert (release["clips"], release["captions"]) == (2, 1)
    with next((tmp_path / "release").rglob("actions.csv")).open(newline="") as stream:
        assert {row["action"] for row in csv.DictReader(stream)} == {"12", "79"}

    out = str(tmp_path / "cvat")
    assert main(["curate", "export-review", folder, "--to", "cvat", "--out", out, "--reviewer", "ben"]) == 0
    assert main(["curate", "import-review", folder, out, "--to", "cvat", "--reviewer", "anna"]) == 0
    assert "3 clips read, 2 changed" in capsys.readouterr().out  # anna now has ben's actions
    assert reviewed_state(work.folder)[kept[0]].status == "reviewed"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("review WORK --reviewer a/b --no-browser", "cannot be the name of a reviewer"),
        ("review WORK --overlap 3 --port 0 --no-browser", "overlap is 3"),
        ("review WORK --port 70000 --no-browser", "port 70000 is not valid"),
        ("review EMPTY --port 0 --no-browser", "is not a work folder"),
        ("texts WORK --model blind", "writes no texts"),
        ("texts WORK --model m --price-in 1", "no effect with --runner local"),
        ("texts EMPTY --model m", "is not a work folder"),
        ("actions WORK --model EMPTY", "EMPTY"),
        ("export-review EMPTY --to cvat --out x", "no clip with tracks"),
        ("export-review WORK --to cvat --out x --videos /a", "has no effect on CVAT"),
        ("import-review WORK none.xml --to cvat --reviewer anna", "neither a file"),
        ("import-review WORK none.xml --to cvat --reviewer a.b", "cannot be the name of a reviewer"),
    ],
)
def test_wrong_calls_are_one_line(
    tmp_path: Path, words: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "WORK" in words:
        work_of_sample(tmp_path / "WORK", 2)
    (tmp_path / "EMPTY").mkdir()
    assert main(["curate", *words.split()]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
