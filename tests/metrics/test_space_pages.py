"""The Spaces of the metrics: each is started as on the Hub and computes the scores of its example."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from microg4m_hf.errors import PredictionError
from microg4m_hf.metrics.spaces import metric_folders
from tests.support.browser import Browser, chromium
from tests.support.ports import free_port
from tests.support.warm_python import warm_python

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="no Gradio; pip install 'microg4m-hf[explore]'")
# The page shows the button before it listens to it.
_CLICK_UNTIL_SIGNED = """(
    window.last ||= 0,
    Date.now() - window.last > 5000 && (window.last = Date.now(), document.querySelector('#compute').click()),
    document.querySelector('#signature textarea')?.value
)"""
FOLDERS = {folder.name: folder for folder in metric_folders()}


@pytest.fixture(params=FOLDERS)
def space(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A Space, started in a copy of its folder that is named as on the Hub, and its address."""
    folder = tmp_path / "app"
    shutil.copytree(FOLDERS[request.param], folder, ignore=shutil.ignore_patterns("__pycache__"))
    port = free_port()
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    with (tmp_path / "log").open("w") as log:
        app = subprocess.Popen([warm_python(), "app.py"], cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(port, app, tmp_path / "log")
            yield folder, f"http://127.0.0.1:{port}/"
        finally:
            app.terminate()
            app.wait(120)


def test_the_example_is_scored(space: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = space
    found, signature = _in_chromium(address, tmp_path) if chromium() else _over_http(address, folder)
    assert found == {name: f"{value:.4f}" for name, value in _expected(folder).items()}
    assert signature.startswith(("har|", "text|")) and "protocol:paper" in signature


@pytest.mark.parametrize("name", FOLDERS)
def test_gradio_is_pinned_once(name: str) -> None:
    """The Hub installs the version of the card; the file of requirements repeats it for other machines."""
    card = yaml.safe_load((FOLDERS[name] / "README.md").read_text(encoding="utf-8").split("---")[1])
    lines = (FOLDERS[name] / "requirements.txt").read_text(encoding="utf-8").split()
    assert f"gradio=={card['sdk_version']}" in lines
    assert version("gradio").split(".")[0] == card["sdk_version"].split(".")[0]


def test_text_is_never_taken_for_a_path(tmp_path: Path) -> None:
    """A visitor may type anything: the path of a file on the server is invalid JSON, not a file to read."""
    from microg4m_hf.metrics.space_page import _read_json

    secret = tmp_path / "secret.json"
    secret.write_text("[]")
    with pytest.raises(PredictionError, match="not valid JSON"):
        _read_json(str(secret), "predictions")


def _expected(folder: Path) -> dict[str, float]:
    import evaluate

    example = json.loads((folder / "example.json").read_text(encoding="utf-8"))
    result = evaluate.load(next(folder.glob("microg4m_*.py")).stem, keep_in_memory=True).compute(**example)
    return {name: value for name, value in result.items() if isinstance(value, float)}


def _wait_for(port: int, app: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 1500
    while time.monotonic() < end:
        assert app.poll() is None, log.read_text()[-3000:]
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"the Space does not answer:\n{log.read_text()[-3000:]}")


def _in_chromium(address: str, folder: Path) -> tuple[dict[str, str], str]:
    browser = Browser(folder / "profile")
    try:
        browser.open(address)
        browser.wait_for("document.querySelector('#compute') !== null", 900)
        signature = browser.wait_for(_CLICK_UNTIL_SIGNED, 900)
        text = "document.querySelector('#scores').innerText"
        lines = browser.wait_for(f"/[.][0-9]{{4}}/.test({text}) && {text}", 900).split()
    finally:
        browser.close()
    return {name: value for name, value in pairwise(lines) if re.fullmatch(r"[0-9]+[.][0-9]{4}", value)}, signature


def _over_http(address: str, folder: Path) -> tuple[dict[str, str], str]:
    example = json.loads((folder / "example.json").read_text(encoding="utf-8"))
    data = [json.dumps(example[side]) for side in ("predictions", "references")]
    body = json.dumps({"data": [*data, None, None, "paper"]}).encode()
    call = f"{address}gradio_api/call/compute"
    request = urllib.request.Request(call, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=900) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{call}/{event}", timeout=900) as answer:
        lines = [line.decode().removeprefix("data: ") for line in answer if line.startswith(b"data: ")]
    table, signature = json.loads(lines[-1])
    return dict(table["data"]), signature
