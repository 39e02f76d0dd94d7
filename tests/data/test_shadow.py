"""A folder ``./microg4m`` comes before the builder only when it is a data set in itself."""

from __future__ import annotations

from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import microg4m_hf  # noqa: F401
from microg4m_hf.auto_register import shadowed_by_folder

CARD = "---\nconfigs:\n- config_name: vqa\n  data_files:\n  - split: test\n    path: vqa/*.parquet\n---\n# A card\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "microg4m").mkdir()
    return tmp_path / "microg4m"


def test_folders_that_lie_there_by_accident(folder: Path) -> None:
    assert not shadowed_by_folder("microg4m")
    (folder / "README.md").write_text("# microg4m-hf\n\nA clone of the project.\n")
    (folder / "setup.cfg").write_text("[metadata]\n")
    (folder / "src").mkdir()
    assert not shadowed_by_folder("microg4m")
    (folder / "README.md").write_text("---\ntitle: not a data set\n---\n")
    assert not shadowed_by_folder("microg4m")
    (folder / "README.md").write_bytes(b"---\n\xff\xfe: [\n---")
    assert not shadowed_by_folder("microg4m")
    (folder / "README.md").write_text("---\n{unclosed: [\n---\n")
    assert not shadowed_by_folder("microg4m")
    assert datasets.get_dataset_config_names("microg4m") == ["har", "caption", "vqa"]


def test_the_authors_files_are_read_with_data_dir_not_by_chance(folder: Path) -> None:
    (folder / "README.md").write_text(CARD)
    (folder / "annotation_files").mkdir()
    (folder / "parquet_format").mkdir()
    (folder / "parquet_format" / "actions.parquet").touch()
    assert not shadowed_by_folder("microg4m")


def test_a_file_of_that_name_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "microg4m").touch()
    assert not shadowed_by_folder("microg4m")
    assert datasets.get_dataset_config_names("microg4m") == ["har", "caption", "vqa"]


def test_a_data_set_that_needs_no_code_is_honoured(folder: Path, tmp_path: Path) -> None:
    (folder / "vqa").mkdir()
    pq.write_table(pa.table({"question": ["Who floats?"]}), folder / "vqa" / "test.parquet")
    assert shadowed_by_folder("microg4m")  # parquet alone says it
    (folder / "README.md").write_text(CARD)
    assert shadowed_by_folder("microg4m")
    loaded = datasets.load_dataset("microg4m", "vqa", split="test", cache_dir=str(tmp_path / "cache"))
    assert loaded["question"][:] == ["Who floats?"]
