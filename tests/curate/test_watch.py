"""`microg4m watch`: people keep their ids through a film, a model is asked about them, and a kill loses little."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data.video.clip import open_clip
from tests.support.drawn_films import DETECTOR, find_red, walk
from tests.support.videos import write_video

calls = 0


def count_red(frames: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find what is red, and count the frames."""
    global calls
    calls += len(frames)
    return find_red(frames)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small action model with random weights."""
    from microg4m_hf.models import create

    folder = tmp_path_factory.mktemp("model")
    create("tiny_slow").save_pretrained(folder)
    return folder


def test_a_film_is_watched(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = write_video(tmp_path / "film.mp4", walk(75, speed=0.8), fps=25)
    words = ["watch", str(film), "--out", str(tmp_path / "out"), "--detector", DETECTOR, "--turns", "1"]
    assert main([*words, "--model", str(model), "--top-k", "2", "--threshold", "0"]) == 0
    assert "1 people in 3.0 s (90 frames)" in capsys.readouterr().out
    people = json.loads((tmp_path / "out" / "people.json").read_text())["people"]
    assert [len(one["boxes"]) for one in people] == [88]  # every third frame is looked at, the last two are not
    with (tmp_path / "out" / "actions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["seconds"], row["rank"]) for row in rows] == [
        ("0.5", "1"), ("0.5", "2"), ("1.5", "1"), ("1.5", "2"), ("2.5", "1"), ("2.5", "2"),
    ]  # fmt: skip
    with open_clip(tmp_path / "out" / "watched.mp4") as drawn, open_clip(film) as plain:
        assert (len(drawn), drawn.fps, drawn.width, drawn.height) == (90, 30, plain.width, plain.height)
        with_box, without = drawn.frames([45])[0], plain.frames([37])[0]  # both at 1.5 seconds
    changed = np.abs(with_box.astype(int) - without).max(axis=2) > 60
    left, top, _, bottom = (round(value * 96 / 640) for value in people[0]["boxes"][45][1:5])
    assert changed[top + 1 : bottom - 1, left].mean() > 0.8


def test_a_killed_watch_goes_on(tmp_path: Path) -> None:
    global calls
    film = write_video(tmp_path / "film.mp4", walk(60))
    words = ["watch", str(film), "--out", str(tmp_path / "out"), "--turns", "1", "--batch-size", "4"]
    words += ["--detector", f"{__name__}:count_red"]
    calls = 0
    assert main(words) == 0
    assert calls == 20
    journal = tmp_path / "out" / "detections.jsonl"
    before, written = journal.read_bytes(), (tmp_path / "out" / "people.json").read_bytes()
    journal.write_bytes(before[: len(before) // 2])  # what a kill leaves
    calls = 0
    assert main(words) == 0
    assert 0 < calls < 20
    assert journal.read_bytes() == before and (tmp_path / "out" / "people.json").read_bytes() == written
    assert main([*words, "--every", "2"]) == 0  # other settings: everything again
    assert calls > 30


@pytest.mark.parametrize(
    "word", ["tracks.method=nonsense", "tracks.camera_motion=true", "tracks.boxes=held", "cut.fps=5"]
)
def test_settings_without_an_effect_are_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "film.mp4", "--set", word]) == 2
    assert f"--set {word} has no effect on a film that is watched; leave it out" in capsys.readouterr().err
