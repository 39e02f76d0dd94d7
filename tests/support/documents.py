"""Python blocks and ``microg4m`` commands of the README, the documentation and the metric cards."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

from microg4m_hf.cli.main import make_parser

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted([PROJECT / "README.md", *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("metrics/*/README.md")])

BLOCK = re.compile(r"^(<!-- not run: [^\n]* -->\n)?```(\w*)\n(.*?)^```", re.M | re.S)


def readme_python() -> list[str]:
    """Return the Python blocks of the README, which build on each other."""
    return [text for _, language, text in _readme_blocks() if language == "python"]


def readme_commands(*, marked: bool = True) -> list[str]:
    """Return the commands of the README; ``marked=False`` leaves out blocks that are marked as needing more."""
    shells = [text for mark, language, text in _readme_blocks() if language == "bash" and (marked or not mark)]
    return [line.split(" #")[0].strip() for text in shells for line in text.splitlines() if line.strip()]


def _readme_blocks() -> list[tuple[str, str, str]]:
    return BLOCK.findall((PROJECT / "README.md").read_text(encoding="utf-8"))


def python_of(page: Path) -> str:
    """Return all Python blocks of a page as one script."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S))


def commands_of(page: Path) -> list[str]:
    """Return the commands of a page that run this package, without their comments."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(?: {4})?((?:microg4m|accelerate launch|torchrun|python -m) .*)$", text, re.M)
    whole = (re.split(r"\s+#", line)[0].strip() for line in lines)
    return [line for line in whole if "microg4m_hf" in line or line.startswith("microg4m ")]


def parse_command(command: str) -> argparse.Namespace:
    """Parse a command as the program does; an unknown option raises ``SystemExit``."""
    words = shlex.split(command)
    if words[0] != "microg4m":
        words = words[words.index("-m") + 1 :]
        if words[0] in ("microg4m_hf.training.har", "microg4m_hf.training.vlm"):
            return make_parser("train").parse_args([words[0].rpartition(".")[2], *words[1:]])
        if words[0] == "microg4m_hf.training.jhmdb":
            return argparse.Namespace(words=words[1:])
    return make_parser(words[1]).parse_args(words[2:])
