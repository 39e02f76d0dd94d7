"""References to clips open under every clip name, with fsspec and with ``datasets``."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest
from datasets.utils.file_utils import xopen

from microg4m_hf.data.publish import plan
from microg4m_hf.data.publish.plan import make_reference

NAMES = ["Apollo13_032", "W-2Rlnnf2sw_007", "-dash_001", "a#b%41_1", "a[0]{b}_1", "ünï日本_012", "a+b&c=d;e,f@g'h!_2"]


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_opens_under_every_clip_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shard").write_bytes(b"0123456789")
    dumps = json.dumps

    def local(table: dict, **options: object) -> str:
        """The same table with a local file in place of the one on the Hub."""
        moved = {label: [f"file://{tmp_path}/shard", *place[1:]] for label, place in table["refs"].items()}
        return dumps({**table, "refs": moved}, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(plan.json, "dumps", local)
    address = make_reference("me/MicroG-4M", "clips-29db", name, {name: ("clips/a.parquet", 3, 4)})
    monkeypatch.undo()
    for opener in (fsspec.open, xopen):
        with opener(address, "rb") as file:
            assert file.read() == b"3456"
