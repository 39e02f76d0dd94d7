"""The ``microg4m`` command itself: overview, help and errors."""

from __future__ import annotations

import subprocess
import sys

import pytest

from microg4m_hf.cli import main as command_line
from microg4m_hf.errors import DataError


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "microg4m_hf", *words], capture_output=True, text=True, check=False)


def test_help_lists_the_groups_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from microg4m_hf.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'pyarrow', 'datasets', 'torch') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in command_line.GROUPS:
        assert name in out
    assert out.strip().endswith("[]")


def test_unknown_group_exits_with_2() -> None:
    result = _run("dance")
    assert result.returncode == 2
    assert "dance" in result.stderr


def test_no_arguments_print_the_overview() -> None:
    result = _run()
    assert result.returncode == 0
    assert "GROUP" in result.stdout


def test_user_error_is_one_line_and_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from microg4m_hf.cli import env

    def fail(_: object) -> int:
        raise DataError("unknown action id", file="actions.csv", line=7, value="81", hint="use\nanother")

    monkeypatch.setattr(env, "run", fail)
    assert command_line.main(["env"]) == 2
    assert capsys.readouterr().err == "microg4m: actions.csv, line 7: unknown action id: '81' (use another)\n"


def test_every_group_has_help() -> None:
    for name in command_line.GROUPS:
        with pytest.raises(SystemExit) as stop:
            command_line.main([name, "--help"])
        assert stop.value.code == 0
