"""The orientation probe for vision-language models: kinds of questions, accuracy, a planted gap, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.bench.gap_pages import text_orientation_document
from microg4m_hf.bench.orientation_texts import compare_answers, contains, probe_texts, question_kind
from microg4m_hf.bench.render import write_document
from microg4m_hf.cli.main import main
from microg4m_hf.data.turns import TURNS
from microg4m_hf.errors import RecipeError
from microg4m_hf.inference import TextSettings
from tests.support.tiny_vlm import tiny_vlm


def _rows() -> list[dict[str, Any]]:
    """Eight films with a question of each kind."""
    asked = {
        "What is the man doing?": "Standing.",
        "How many people are there?": "Three.",
        "Who is shown?": "Suni Williams.",
        "Is the hatch on the left?": "Yes.",
        "Why is the wall blue?": "Not mentioned.",
    }
    return [
        {"question_id": f"{film}_{place}", "question": question, "answer": answer, "source": f"film{film}"}
        for film in range(8)
        for place, (question, answer) in enumerate(asked.items())
    ]


def _answers(rows: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """A model that takes a standing man for a lying one when turned, but for one film, and one without eyes."""
    right = {
        row["question_id"]: f"It is {row['answer']}" if "many" in row["question"] else row["answer"] for row in rows
    }
    lying = {f"{film}_0": "Lying." for film in range(7)}
    found = {turn.name: right | (lying if turn.degrees in (90, 270) else {}) for turn in TURNS}
    return found | {"blind": dict.fromkeys(right, "Not mentioned.")}


def test_a_planted_gap_is_found_where_it_is() -> None:
    rows = _rows()
    found = compare_answers(rows, _answers(rows), TURNS)
    by_turn = {row["turn"]: row for row in found["turns"]}
    assert (by_turn["0°"]["accuracy"], by_turn["0°"]["exact"], by_turn["0°"]["refusals"]) == (1.0, 0.8, 0.2)
    assert by_turn["90°"]["accuracy"] == pytest.approx(1 - 7 / 40) and by_turn["90°"]["real"]
    assert by_turn["180°"]["accuracy"] == by_turn["0°, mirrored"]["accuracy"] == 1.0
    assert by_turn["blind"]["accuracy"] == pytest.approx(0.2)
    assert found["gap"]["difference"] == pytest.approx(2 / 3 * 7 / 40)
    assert found["gap"]["interval"][0] > 0
    assert {name: gap["difference"] for name, gap in found["gaps"].items()} == pytest.approx(
        {"accuracy": 2 / 3 * 7 / 40, "exact": 2 / 3 * 7 / 40, "refusals": 0.0}
    )
    kinds = {entry["kind"]: entry for entry in found["kinds"]}
    assert list(kinds) == ["count", "direction", "identity", "posture", "other"]
    assert kinds["posture"]["difference"] == pytest.approx(2 / 3 * 7 / 8) and kinds["posture"]["real"]
    assert {name for name, entry in kinds.items() if entry["difference"]} == {"posture"}
    assert {name: entry["accuracy"]["blind"] for name, entry in kinds.items()} == dict.fromkeys(kinds, 0.0) | {
        "other": 1.0
    }


def test_intervals_are_by_film_and_items_without_an_answer_are_wrong() -> None:
    rows = _rows()
    answers = _answers(rows)
    del answers["0°"]["0_0"]
    found = compare_answers(rows[:20], answers, TURNS, lambda texts, _: np.array([float(bool(text)) for text in texts]))
    assert (found["films"], found["turns"][0]["accuracy"], found["turns"][0]["svqa"]) == (4, 0.95, 0.95)
    assert found["gap"]["interval"] is None and "at least 5 films" in found["gap"]["why_not"]
    assert found["turns"][0]["accuracy_interval"] is None
    # Every film without one question of eight: the error of the mean is that of the films.
    spread = compare_answers(rows, _answers(rows), TURNS)["kinds"][3]["interval"]
    per_film = np.array([2 / 3] * 7 + [0.0])
    reach = 2.364624 * per_film.std(ddof=1) / np.sqrt(8)
    assert spread == pytest.approx([per_film.mean() - reach, per_film.mean() + reach], abs=1e-5)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many crew members float upside down?", "count"),
        ("Who is on the right?", "direction"),
        ("In which direction does she rotate?", "direction"),
        ("What is the name of the module?", "identity"),
        ("Who is sleeping?", "identity"),
        ("What posture does he take?", "posture"),
        ("What is the astronaut doing?", "posture"),
        ("What is written on the whole wall?", "other"),
        ("What can you say about the copyright?", "other"),
    ],
)
def test_the_words_of_a_question_decide_its_kind(question: str, kind: str) -> None:
    assert question_kind(question) == kind


@pytest.mark.parametrize(
    ("answer", "reference", "is_right"),
    [
        ("There are 3 astronauts", "Three astronauts.", True),
        ("The red shirt", "A red shirt.", True),
        ("Shirt, red", "A red shirt", False),
        ("Nobody knows", "No", False),
        ("", "The", False),
        ("It is Not Mentioned!", "Not mentioned.", True),
    ],
)
def test_contained_words(answer: str, reference: str, is_right: bool) -> None:
    assert contains(answer, reference) == is_right


def test_the_command_and_its_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tiny_vlm("qwen2_5_vl", tmp_path / "model"))
    words = ["gap", "orientation", model, "--task", "vqa", "--source", "sample", "--limit", "1", "--frames", "2"]
    words += ["--max-new-tokens", "3", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "0°, mirrored  accuracy" in shown and "blind  accuracy" in shown and "gap " in shown
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (found["items"], found["settings"]["frames"], found["failed"]["90°"]) == (6, 2, 0)
    page = (tmp_path / "out" / "report.md").read_text()
    assert "By kind of question" in page and "without the video" in page
    runs = tmp_path / "out-runs"
    assert sorted(path.name for path in runs.iterdir()) == ["0", "0-mirrored", "180", "270", "90", "blind"]
    settings = json.loads((runs / "0-mirrored" / "settings.json").read_text())
    assert settings["mirrored"] and "rotation" not in settings
    texts = {path.name: (path / "predictions.jsonl").read_text() for path in runs.iterdir()}
    assert len({text.replace(json.loads(text.splitlines()[0])["run"], "") for text in texts.values()}) > 2
    assert main(["score", "vqa", "--predictions", str(runs / "90"), "--source", "sample", "--metrics", "bleu"]) == 0
    before = (runs / "90" / "items.rank0.jsonl").read_bytes()
    assert main(words) == 0
    assert (runs / "90" / "items.rank0.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["m", "--task", "vqa", "--turn-pooling", "max"], "--turn-pooling has no effect with --task vqa"),
        (["m", "--task", "vqa", "--angles", "a.csv"], "--angles has no effect with --task vqa; it needs --task har"),
        (["m", "--task", "vqa", "--protocol", "instance"], "--protocol has no effect with --task vqa"),
        (["m", "--frames", "3"], "--frames has no effect with --task har; it needs --task vqa"),
        (["m", "--no-shared-prefix"], "--no-shared-prefix has no effect with --task har"),
        (["blind", "--task", "vqa", "--source", "sample"], "blind does not look at the video"),
    ],
)
def test_options_of_the_other_task_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["gap", "orientation", *words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_compared_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="at least two turns, given 1"):
        probe_texts(TextSettings("vqa", "m"), [], tmp_path, turns=TURNS[:1])
    with pytest.raises(RecipeError, match="the task caption"):
        probe_texts(TextSettings("caption", "m"), [], tmp_path)


def test_the_page_says_what_is_missing(tmp_path: Path) -> None:
    rows = _rows()
    about = {"model": "m", "failed": {"90°": 2, "0°": 0}, "svqa_note": "no package"}
    found = about | {"asked": {"turns": 4, "choice": "majority"}} | compare_answers(rows, _answers(rows), TURNS)
    write_document(text_orientation_document(found), found, tmp_path / "page")
    page = (tmp_path / "page" / "report.md").read_text()
    assert "No S-VQA: no package." in page and "count as wrong (90°: 2)" in page
    assert "asked under 4 turns from there; choice by majority" in page
    line = next(line for line in page.splitlines() if line.startswith("| posture "))
    assert line.split("|")[2:4] == [" 8 ", " 100.00 "] and "+58.33" in line
