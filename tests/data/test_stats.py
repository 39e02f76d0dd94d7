"""``microg4m data stats`` counts what a release contains, without faulty rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data.stats import stats
from tests.support.fake_release import make_release


def test_stats_of_the_released_files(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = stats(released)
    assert found["clips_of_domain"] == {"movie": 1332, "real": 3427}
    assert found["label_rows_of_domain"] == {"real": 9610, "movie": 3651}
    assert found["classes_of_domain"] == {"real": 46, "movie": 42}
    assert (found["persons"], found["persons_with_box"], found["labels_without_box"]) == (5741, 5735, 10)
    assert (found["key_frames"], found["clips_with_several_key_frames"]) == (5468, 587)
    assert found["official"]["test"] == {"clips": 953, "key_frames": 1091, "key_boxes": 1136}
    assert found["official"]["train"] == {"clips": 3331, "key_frames": 3835, "key_boxes": 4029}
    assert (found["captions"], found["clips_with_caption"], found["questions"]) == (1238, 1237, 7528)
    assert (found["questions_per_entry"]["6"], found["questions_not_mentioned"]) == (1161, 752)
    assert found["schemes"]["official"]["classes"] == {"train": 50, "validation": 36, "test": 41}
    assert main(["data", "stats", "--data-dir", str(released), "--scheme", "official"]) == 0
    text = capsys.readouterr().out
    assert "47 of 47 test sources are in train" in text and "78% have a neighbor" in text
    assert "source_disjoint" not in text


def test_faulty_rows_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = make_release(tmp_path, sources=4)
    with open(truth.files["actions.csv"], "a") as file:
        file.write("Film0_001,m,1,2\nFilm0_999,m,1,12\n")
    assert main(["data", "stats", "--data-dir", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["faults"], found["clips"]) == (1, 21)
    assert found["clips_without_official_place"] == ["Film0_999"]
    assert found["boxes"] == sum(len(who.frames) for clip in truth.clips.values() for who in clip.persons.values())
    assert main(["data", "stats", "--data-dir", str(tmp_path)]) == 0
    assert "1 clips, counted as train" in " ".join(capsys.readouterr().out.split())


def test_a_folder_without_a_release_prints_one_line_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "stats", "--data-dir", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "actions.csv" in captured.err
