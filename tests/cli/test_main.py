"""The ``microg4m`` command itself: overview, help and errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from microg4m_hf.cli import main as command_line
from microg4m_hf.data import ensure_sample
from microg4m_hf.errors import DataError
from tests.support.warm_python import warm_python

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


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


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of processes")
@pytest.mark.parametrize("module", ["microg4m_hf", "microg4m_hf.training.har"])
def test_a_disk_that_takes_no_more_is_one_line(tmp_path: Path, module: str) -> None:
    """A limit for the size of files refuses a write in the middle, as a full disk does."""
    script = (
        "import resource, runpy, sys\n"
        "sys.dont_write_bytecode = True\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
        f"sys.argv[0] = 'microg4m'; runpy.run_module('{module}', run_name='__main__')\n"
    )
    words = ["--config", str(RECIPES / "demo.yaml"), "--out", str(tmp_path / "run"), "data.source=sample"]
    if module == "microg4m_hf":
        words = ["data", "export-ava", "--source", "sample", "--out", str(tmp_path / "run")]
    ensure_sample()
    ended = subprocess.run([warm_python(), "-c", script, *words], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 2, ended.stderr[-2000:]
    said = [line for line in ended.stderr.splitlines() if line.startswith("microg4m: ")]
    assert len(said) == 1 and "File too large; raise the limit" in said[0]
    assert "Traceback" not in ended.stderr
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".part"]


def test_every_group_has_help() -> None:
    for name in command_line.GROUPS:
        with pytest.raises(SystemExit) as stop:
            command_line.main([name, "--help"])
        assert stop.value.code == 0
