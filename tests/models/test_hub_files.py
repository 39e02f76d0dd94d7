"""A pushed model: its card, its processors, and what programs without the library are told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.hub_server import HubServer
from tests.support.warm_python import warm_python

PUSH = """
from microg4m_hf import models
from transformers import AutoModelForVideoClassification
models.create("tiny_slow").push_to_hub("me/tiny", token="hf_test", tags=["mine"])
pulled = AutoModelForVideoClassification.from_pretrained("me/tiny")  # asks nothing: the library is imported
assert not any("--" in name for name in pulled.config.auto_map.values())
"""
# Without the library: an import of it fails as it does where it is not installed.
ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "microg4m_hf":
            raise ModuleNotFoundError("No module named 'microg4m_hf'")
sys.meta_path.insert(0, Absent())
"""
LOAD = """
from transformers import AutoModelForVideoClassification, AutoVideoProcessor
model = AutoModelForVideoClassification.from_pretrained("me/tiny", trust_remote_code={trust})
print(type(model).__name__, type(AutoVideoProcessor.from_pretrained("me/tiny", trust_remote_code={trust})).__name__)
model.save_pretrained("again")
"""


def _run(hub: HubServer, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **hub.environment(), "HF_HOME": str(folder / "hf")}
    return subprocess.run(
        [warm_python(), "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture
def pushed(hub: HubServer, tmp_path: Path) -> HubServer:
    done = _run(hub, tmp_path, PUSH)
    assert done.returncode == 0, done.stderr[-3000:]
    return hub


def test_a_pushed_model_has_a_card_and_says_what_to_install(pushed: HubServer, tmp_path: Path) -> None:
    repo = pushed.repo("model", "me/tiny")
    files = repo.tree()
    assert {"processor_config.json", "video_preprocessor_config.json", "microg4m_har.py"} <= set(files)
    card = repo.read("README.md").decode()
    assert "- mine" in card and "pipeline_tag: video-classification" in card
    assert 'pipeline("microg4m-har", model="me/tiny")' in card and 'pip install "microg4m-hf[train]"' in card
    assert "4, 8 apart" in card and "More Information Needed" not in card

    refused = _run(pushed, tmp_path, LOAD.format(trust=None))
    assert refused.returncode != 0 and "inspect the repository content" in refused.stderr
    absent = _run(pushed, tmp_path, ABSENT + LOAD.format(trust=True))
    assert "pip install microg4m_hf" in absent.stderr.splitlines()[-1]
    loaded = _run(pushed, tmp_path, LOAD.format(trust=True))
    assert loaded.stdout.split() == ["MicroG4MHarForVideoClassification", "MicroG4MHarVideoProcessor"]
    # The folder of a model loaded in this way holds the small file, and no copy of the library's code.
    assert [path.name for path in (tmp_path / "again").glob("*.py")] == ["microg4m_har.py"]


def test_a_card_that_is_there_stays(pushed: HubServer, tmp_path: Path) -> None:
    code = """
from huggingface_hub import HfApi
from microg4m_hf import models
HfApi(token="hf_test").upload_file(path_or_fileobj=b"# Mine\\n", path_in_repo="README.md", repo_id="me/tiny")
models.create("tiny_x3d").push_to_hub("me/tiny", token="hf_test")
"""
    done = _run(pushed, tmp_path, code)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "# Mine" in pushed.repo("model", "me/tiny").read("README.md").decode()
