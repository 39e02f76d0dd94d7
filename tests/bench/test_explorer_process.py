"""The explorer as a process of its own: on the command line until Ctrl-C, and as the app of a Space."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from microg4m_hf.bench.explorer import export_space
from microg4m_hf.data import ensure_sample
from tests.support.ports import free_port

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="no Gradio; pip install 'microg4m-hf[explore]'")


@contextmanager
def _process(words: list[str], address: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a process, wait until its page responds, and stop it at the end."""
    process = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | more,
        # A process that a shell starts in the background ignores Ctrl-C by default.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        end = time.monotonic() + 300
        while True:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "the page does not respond"
            try:
                with urllib.request.urlopen(address) as answer:
                    yield process, answer.read().decode()
                return
            except OSError:
                time.sleep(0.2)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_command_prints_its_address_and_stops_on_ctrl_c() -> None:
    ensure_sample()  # making it can take longer than the timeout of the page
    address = f"http://127.0.0.1:{(port := free_port())}/"
    words = ["-m", "microg4m_hf", "explore", "--source", "sample", "--no-browser", "--port", str(port)]
    with _process(words, address) as (process, page):
        assert "MicroG-4M explorer" in page
        assert process.stdout is not None
        assert process.stdout.readline() == f"explorer: {address}  (stop with Ctrl-C)\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=600)
    assert process.returncode == 0
    assert output.split() == ["explorer", "stopped"]
    assert "Traceback" not in errors


def test_app_of_a_space_runs(runs: Path, tmp_path: Path) -> None:
    folder = export_space(tmp_path / "space", [runs])
    port = free_port()
    more = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "MICROG4M_SCHEME": "source_disjoint"}
    here = Path.cwd()
    os.chdir(folder)
    try:
        with _process(["app.py"], f"http://127.0.0.1:{port}/", **more) as (_, page):
            assert "MicroG-4M explorer" in page
            assert "vqa-blind" in page  # the predictions are part of the Space
            assert "(source_disjoint)" in page
    finally:
        os.chdir(here)
