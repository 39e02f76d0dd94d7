"""The page on reports: its Python runs, and its commands are ones that exist."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from microg4m_hf.cli.main import GROUPS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "report.md").read_text(encoding="utf-8")


def test_python(capsys: pytest.CaptureFixture[str]) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S):
        exec(block, {})
    assert capsys.readouterr().out == "46.41\n"


@pytest.mark.parametrize("line", re.findall(r"^microg4m .*$", PAGE, re.M))
def test_commands_are_understood(line: str) -> None:
    _, group, *words = shlex.split(line)
    parser = argparse.ArgumentParser()
    importlib.import_module(f"microg4m_hf.cli.{GROUPS[group][0]}").configure(parser)
    parser.parse_args(words)
