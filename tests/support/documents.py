"""What the documents tell people to type: Python blocks and commands of ours, in README, docs and cards."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

from microg4m_hf.cli.main import GROUPS

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted([PROJECT / "README.md", *PROJECT.glob("docs/*.md"), *PROJECT.glob("metrics/*/README.md")])


def python_of(page: Path) -> str:
    """All Python blocks of a page as one session."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S))


def commands_of(page: Path) -> list[str]:
    """The lines that start a command of ours, however it is launched; comments behind them left out."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(?: {4})?((?:microg4m|accelerate launch|torchrun|python -m) .*)$", text, re.M)
    whole = (re.split(r"\s+#", line)[0].strip() for line in lines)
    return [line for line in whole if "microg4m_hf" in line or line.startswith("microg4m ")]


def understand(command: str) -> argparse.Namespace:
    """Parse a command as the program would; a word that it does not know ends in SystemExit."""
    words = shlex.split(command)
    if words[0] != "microg4m":
        words = words[words.index("-m") + 1 :]
        if words[0] in ("microg4m_hf.training.har", "microg4m_hf.training.vlm"):
            return _parse(words[0], words[1:])
        if words[0] == "microg4m_hf.training.jhmdb":
            return argparse.Namespace(words=words[1:])
    return _parse(f"microg4m_hf.cli.{GROUPS[words[1]][0]}", words[2:])


def _parse(module: str, words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    importlib.import_module(module).configure(parser)
    return parser.parse_args(words)
