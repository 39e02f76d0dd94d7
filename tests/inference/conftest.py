"""Tiny models, created once per session, and queries for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from microg4m_hf.inference.items import ClipQueries, group_queries
from tests.support.tiny_vlm import tiny_vlm


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny model by family."""
    folders: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in folders:
            folders[family] = tiny_vlm(family, tmp_path_factory.mktemp(family))
        return folders[family]

    return folder


@pytest.fixture(scope="session")
def questions() -> list[ClipQueries]:
    """Four clips of the sample with six questions each."""
    from microg4m_hf.data import load_dataset

    return group_queries("vqa", load_dataset("vqa", split="test", source="sample"))[:4]
