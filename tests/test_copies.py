"""The folders ``recipes``, ``metrics`` and ``loading_scripts`` hold what is in the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import copies


def test_copies_are_equal() -> None:
    assert copies.differing() == {}, "edit the file in src/microg4m_hf, then run: python -m tests.copies --write"


def test_differences_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for folder, names in ((there, ("same", "other", "new")), (here, ("same", "other", "old", "README.md"))):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(f"{folder.name if name == 'other' else name}")
    monkeypatch.setattr(copies, "FOLDERS", {here: there})
    monkeypatch.setattr(copies, "FILES", {})
    monkeypatch.setattr(copies, "PROJECT", tmp_path)
    monkeypatch.setattr("sys.argv", ["copies", "--write"])
    assert {path.name for path in copies.differing()} == {"other", "old", "new"}
    copies.main()
    assert copies.differing() == {}
    assert sorted(path.name for path in here.iterdir()) == ["README.md", "new", "other", "same"]
    assert (here / "other").read_text() == "there"
