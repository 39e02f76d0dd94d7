"""The code and the commands of the README run on the sample."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^(<!-- not run: .* -->\n)?```(\w*)\n(.*?)^```", README, re.M | re.S)


def test_python(tmp_path: Path) -> None:
    """Run the Python blocks one after the other in one session."""
    code = "\n".join(text for _, language, text in BLOCKS if language == "python")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "'map': 1.0" in result.stdout


def commands_run() -> list[str]:
    shells = [text for skipped, language, text in BLOCKS if language == "bash" and not skipped]
    return [line.split(" #")[0].strip() for text in shells for line in text.splitlines() if line.strip()]


def test_commands(tmp_path: Path) -> None:
    assert len(commands_run()) >= 6
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for line in commands_run():
        result = subprocess.run(
            shlex.split(line),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
            env=os.environ | {"PATH": path},
        )
        assert result.returncode == 0, f"{line}\n{result.stdout[-1000:]}{result.stderr[-1000:]}"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_link_targets_exist(target: str) -> None:
    assert (PROJECT / target).exists()


def test_every_make_target_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)
