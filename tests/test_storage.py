"""Files and folders are written completely or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from microg4m_hf.storage import atomic_folder, cache_home, write_atomic


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    target = write_atomic(tmp_path / "a.json", "old")
    with pytest.raises(TypeError):
        write_atomic(target, 3)  # type: ignore[arg-type]
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_folder_never_appears(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "sample") as scratch:
        (scratch / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_the_first_complete_folder_is_kept_unless_replaced(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "sample") as scratch:
            (scratch / "who").write_text(text)
    assert (tmp_path / "sample" / "who").read_text() == "first"
    with atomic_folder(tmp_path / "sample", replace=True) as scratch:
        (scratch / "who").write_text("third")
    assert (tmp_path / "sample" / "who").read_text() == "third"
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path))
    assert cache_home() == tmp_path
    monkeypatch.delenv("MICROG4M_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_home() == tmp_path / "microg4m"
