"""``warm_python()`` behaves as Python does, apart from what is imported; forked work ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.warm_python import FRESH, warm_python

PROBE = """
import atexit, os, sys
atexit.register(print, "at exit")
print(__name__, sys.argv, sys.path[0], os.getcwd(), sys.executable, os.environ.get("WORD"), sys.stdin.read())
print(sorted(name for name in sys.modules if name.startswith("tests")), file=sys.stderr)
"""
ENDS = {
    "sys.exit(3)": 3,
    "sys.exit('a reason')": 1,
    "1 / 0": 1,
    "raise KeyboardInterrupt": -2,
    "os.kill(os.getpid(), 9)": -9,
}
pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="it is the real Python here")


@pytest.fixture(scope="module")
def warm() -> str:
    program = warm_python()
    assert program != sys.executable
    return program


@pytest.mark.parametrize("kind", ["-c", "-m", "script"])
def test_words_folder_variables_and_files_are_those_of_python(kind: str, warm: str, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    words = {"-c": ["-c", PROBE], "-m": ["-u", "-m", "probe"], "script": ["probe.py"]}[kind]
    both = [
        subprocess.run(
            [program, *words, "a b", "--c"],
            input="from stdin",
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"WORD": "ü"},
        )
        for program in (sys.executable, warm)
    ]
    real, ours = ((done.returncode, done.stdout, done.stderr) for done in both)
    assert real == ours and "from stdin\nat exit" in ours[1]


@pytest.mark.parametrize("code", ENDS)
def test_it_ends_as_python_does(code: str, warm: str) -> None:
    done = subprocess.run([warm, "-c", f"import os, sys\n{code}"], capture_output=True, text=True)
    assert done.returncode == ENDS[code]
    if "kill" not in code:
        last = {"1 / 0": "ZeroDivisionError: division by zero", "raise KeyboardInterrupt": "KeyboardInterrupt"}
        assert done.stderr.splitlines()[-1:] == [last[code]] if code in last else done.stderr in ("", "a reason\n")


def test_packages_that_read_variables_are_imported_anew(warm: str) -> None:
    code = f"import sys; print('numpy' in sys.modules, [name for name in {FRESH!r} if name in sys.modules])"
    assert subprocess.run([warm, "-c", code], capture_output=True, text=True).stdout == "True []\n"
    # A test that has imported cv2 and sklearn has more variables than the server began with.
    packages = {
        "KMP_INIT_AT_FORK": "FALSE",
        "LD_LIBRARY_PATH": "/lib/cv2/../../lib64:" + os.environ.get("LD_LIBRARY_PATH", ""),
    }
    done = subprocess.run([warm, "-c", code], capture_output=True, text=True, env=os.environ | packages)
    assert done.stdout == "True []\n"
    code = "import huggingface_hub.constants as c; print(c.ENDPOINT)"
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run([warm, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "http://127.0.0.1:9\n"


@pytest.mark.parametrize(("options", "variables"), [(["-W", "error"], {}), ([], {"OMP_NUM_THREADS": "7"})])
def test_what_cannot_be_forked_is_run_by_python(options: list[str], variables: dict[str, str], warm: str) -> None:
    code = "import sys, os; print('numpy' in sys.modules, sys.warnoptions, os.environ['OMP_NUM_THREADS'])"
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")} | variables
    both = [
        subprocess.run([program, *options, "-c", code], capture_output=True, text=True, env=environment).stdout
        for program in (sys.executable, warm)
    ]
    assert both[0] == both[1] and both[1].startswith("False ")


def test_signals_reach_it_and_a_kill_ends_it(warm: str) -> None:
    code = "import time\ntry: print('up', flush=True), time.sleep(600)\nexcept KeyboardInterrupt: print('stopped')"
    for number, rest, status in ((signal.SIGINT, "stopped\n", 0), (signal.SIGTERM, "", -15), (signal.SIGKILL, "", -9)):
        process = subprocess.Popen(
            [warm, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            # A process that a shell starts in the background ignores Ctrl-C by default.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert process.stdout and process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.communicate()[0] == rest  # the end of the file: the child is gone too
        assert process.returncode == status


def test_work_in_a_fork_does_not_wait_for_threads_of_its_parent() -> None:
    code = (
        "import torch; torch.set_num_threads(2)\n"
        "square = torch.ones(2000, 2000)\n"
        "square.t().contiguous()  # starts the threads\n"
        "from tests.support.kills import run_forked\n"
        "print(run_forked(lambda: square.t().contiguous()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    assert done.stdout == "0\n", done.stderr
