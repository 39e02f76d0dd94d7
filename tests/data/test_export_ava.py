"""Exported key frames equal the released ones, value by value as text."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data.export_ava import export_ava
from microg4m_hf.data.release.release import read_release
from microg4m_hf.errors import DataError
from tests.support.fake_release import make_release

FILES = ("ava_train.csv", "ava_val_gt.csv", "ava_test_gt.csv")


def rows(path: Path) -> list[str]:
    return sorted(path.read_bytes().decode().splitlines())


def test_exporting_the_released_files_gives_the_same_rows(released: Path, tmp_path: Path) -> None:
    counts = export_ava(released, tmp_path)
    for name in FILES:
        assert rows(tmp_path / name) == rows(released / "train_ready" / name)
    assert list(counts.values()) == [9266, 1329, 2656]  # 13, 2 and 6 of them repeat another row


@pytest.mark.parametrize("seed", range(3))
def test_exporting_generated_files_gives_the_same_rows(tmp_path: Path, seed: int) -> None:
    truth = make_release(tmp_path / "in", seed=seed)
    export_ava(tmp_path / "in", tmp_path / "out")
    for name in FILES:
        assert rows(tmp_path / "out" / name) == rows(truth.files[name])


def test_an_export_can_be_read_as_a_release(tmp_path: Path) -> None:
    truth = make_release(tmp_path / "in")
    export_ava(tmp_path / "in", tmp_path / "in" / "exported")
    for name in (*FILES, "ava_all.csv"):
        truth.files[name].unlink()
    export_ava(tmp_path / "in", tmp_path / "again")
    for name in FILES:
        assert rows(tmp_path / "again" / name) == rows(tmp_path / "in" / "exported" / name)


def test_export_with_another_scheme_and_derived_key_frames(tmp_path: Path) -> None:
    truth = make_release(tmp_path / "in", ava=False, sizes=((854, 480),))
    with pytest.warns(UserWarning, match="assumed"):
        release = read_release(tmp_path / "in")
    with pytest.raises(DataError, match=r"ava_train\.csv"):
        export_ava(release, tmp_path / "out")
    export_ava(release, tmp_path / "out", scheme="source_disjoint")
    written = {}
    for name in FILES:
        with open(tmp_path / "out" / name, newline="") as file:
            for video_id, frame, *box, action, person in csv.reader(file):
                clip = truth.clips[video_id]
                assert int(frame) == clip.persons[int(person)].key
                assert [float(value) for value in box] == pytest.approx(clip.key_box(int(person)), abs=0.0011)
                written[video_id, int(person), int(action)] = name
    labels = {(c.video_id, p, a) for c in truth.clips.values() for p, who in c.persons.items() for a in who.actions}
    assert set(written) == labels
    sources = {(truth.source_of[video_id], name) for (video_id, _, _), name in written.items()}
    assert len(sources) == len({source for source, _ in sources})


def test_other_content_is_not_overwritten(tmp_path: Path) -> None:
    make_release(tmp_path / "in")
    export_ava(tmp_path / "in", tmp_path / "out")
    export_ava(tmp_path / "in", tmp_path / "out")  # the same again is no harm
    (tmp_path / "out" / "ava_test_gt.csv").write_text("mine")
    with pytest.raises(DataError, match="nothing is overwritten"):
        export_ava(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "ava_test_gt.csv").read_text() == "mine"


def test_export_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = make_release(tmp_path / "in")
    assert main(["data", "export-ava", "--data-dir", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert "ava_val_gt.csv: " in capsys.readouterr().out
    written = (tmp_path / "out" / "ava_train.csv").read_text().splitlines()
    assert sorted(written) == sorted(truth.files["ava_train.csv"].read_text().splitlines())
    wrong = ["data", "export-ava", "--data-dir", str(tmp_path / "in"), "--out", str(tmp_path / "o"), "--scheme", "x"]
    assert main(wrong) == 2
    assert "unknown scheme" in capsys.readouterr().err
