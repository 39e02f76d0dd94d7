"""What the operating system refuses is one line and exit code 2, whichever library meets it; a bug is a traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from microg4m_hf.exits import explain, run_command

pytestmark = pytest.mark.skipif(os.name == "nt", reason="it limits processes with POSIX calls")


def microg4m(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "microg4m_hf", *words]
    return subprocess.run(command, capture_output="stdout" not in options, text=True, check=False, **options)  # type: ignore[call-overload]


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    ran = microg4m("data", "export-ava", "--source", "sample", "--out", str(tmp_path / ("x" * 300)))
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1 and len(ran.stderr) < 250
    assert ran.stderr.startswith("microg4m: ") and "use a shorter name" in ran.stderr


def test_a_job_goes_on_when_nobody_reads_its_log(tmp_path: Path) -> None:
    """The reader of standard error has ended, as a killed ``tee`` has; a line of progress is due at every item."""
    code = (
        "import sys; from microg4m_hf import exits, runtime; runtime.LINE_EVERY = 0\n"
        "def job():\n"
        "    done = list(runtime.progress(range(5), 'counting'))\n"
        "    print('skipped: one', file=sys.stderr)\n"
        "    print(len(done))\n"
        "    return 0\n"
        "sys.exit(exits.run_command('count', job))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, check=False)
    os.close(writer)
    assert (ran.returncode, ran.stdout) == (0, b"5\n")


def test_a_cut_connection_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    def job() -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with open(os.devnull, "w") as output, contextlib.redirect_stdout(output):
        assert run_command("push har", job) == 2
    assert capsys.readouterr().err.endswith("; run the same command again\n")


def test_a_reader_that_ends_early_is_no_error() -> None:
    """As in ``microg4m models list | head``."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = microg4m("models", "list", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_full_disk_under_the_output() -> None:
    with open("/dev/full", "w") as full:
        ran = microg4m("models", "list", stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 2
    assert ran.stderr == "microg4m: No space left on device; free some space, or write to another disk\n"


def test_a_full_disk_while_datasets_writes(tmp_path: Path) -> None:
    """The limit on the size of a file acts like a disk that is full; ``datasets`` raises an error of its own."""
    ran = microg4m(
        *("data", "sample", "--out", str(tmp_path / "sample")),
        env={**os.environ, "MICROG4M_HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith("microg4m: ") and "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "locale", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_terminal_without_the_signs_gets_others(locale: dict[str, str]) -> None:
    ran = microg4m("models", "list", env={**os.environ, **locale})
    assert ran.returncode == 0 and ran.stderr == ""
    assert "13?6" in ran.stdout


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EROFS", "ENAMETOOLONG", "EMFILE", "EIO"])
def test_a_refusal_is_found_behind_the_error_of_a_library(name: str) -> None:
    number = getattr(errno, name)
    refused = OSError(number, os.strerror(number), "runs/x")
    wrapped = RuntimeError("An error occurred while generating the dataset")
    wrapped.__cause__ = refused
    for error in (refused, wrapped):
        line = explain(error, "train har")
        assert line is not None and line.startswith(f"runs/x: {os.strerror(number)}; ")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "[enforce fail] . unexpected pos 64 vs 0: No space left on device",
            "No space left on device; free some space",
        ),
        ("I/O error: Read-only file system (os error 30)", "Read-only file system; use a folder that can be written"),
        ("[enforce fail] . PytorchStreamWriter failed writing file data/0: file write failed", "a file could not be"),
        ("[enforce fail at inline_container.cc:671] . unexpected pos 64 vs 0", "a file could not be"),
    ],
)
def test_errors_of_torch_and_safetensors_about_a_disk(message: str, said: str) -> None:
    assert str(explain(RuntimeError(message), "train har")).startswith(said)


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(errno.ENOENT, "No such file or directory"), KeyError("x"), ModuleNotFoundError("x", name="x")],
)
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    def fail() -> int:
        raise error

    with pytest.raises(type(error)) as raised:
        run_command("env", fail)
    assert raised.value is error


def test_an_extra_is_named_for_imports_inside_functions(capsys: pytest.CaptureFixture[str]) -> None:
    def needs_openai() -> int:
        raise ModuleNotFoundError("No module named 'openai'", name="openai._client")

    assert run_command("predict vqa", needs_openai) == 2
    assert capsys.readouterr().err.startswith("microg4m: predict vqa needs the package openai, which is ")
