"""Shared fixtures: the released files (if they are at hand) and a home of its own for every test run."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import warm_python
from tests.support.hub_server import HubServer

# Scripts of their own for other environments; reading them for examples would run them.
collect_ignore = ["support/dataset_check.py", "support/inspect_run.py"]

PROJECT = Path(__file__).resolve().parent.parent

# As `make test` has it: one thread for each worker, and a forked process never waits for the threads of its parent.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests compare bits, and a GPU sums in another order each time. With this variable, those that can do so use one.
ON_GPU = bool(os.environ.get("MICROG4M_TEST_GPU"))
if not ON_GPU:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
# Before anything imports huggingface_hub, datasets or evaluate: tests never leave this machine.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_EVALUATE_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Their Hub is on this machine too, so they run where the real one is switched off.
for switch in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(switch, None)


with contextlib.suppress(ModuleNotFoundError):  # a machine with a GPU may lack it
    import hypothesis

    # The same examples in every run, and no failure because a machine is busy.
    _SLOW = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=_SLOW)
    hypothesis.settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of ``warm_python``'s server in the first process; workers inherit it."""
    if warm_python.FOLDER not in os.environ:
        folder = tempfile.mkdtemp(prefix="warm-python-")
        os.environ |= {warm_python.FOLDER: folder, f"{warm_python.FOLDER}_OWNER": str(os.getpid())}
        config.add_cleanup(lambda: shutil.rmtree(folder))


# A test file with one of these words starts other processes: Python, a browser, an environment, or a training.
STARTS_PROCESSES = re.compile(r"\b(subprocess|multiprocessing|warm_python|Browser|[tT]rainers|linked_environment)\b")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the files that start processes; workers begin with the files that have the most slow tests."""
    starts = {path: bool(STARTS_PROCESSES.search(path.read_text(encoding="utf-8"))) for path in {i.path for i in items}}
    for item in items:
        if (starts[item.path] and item.path.name.startswith("test_")) or "trainers" in getattr(
            item, "fixturenames", ()
        ):
            item.add_marker("processes")
        if ON_GPU and item.get_closest_marker("cpu"):
            item.add_marker(pytest.mark.skip(reason="compares bits, or forks, as only a CPU allows"))
    tests = Counter(item.path for item in items)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: (-slow[item.path], -tests[item.path]))


def pytest_collection_finish() -> None:
    """Exempt from garbage collection what is there by now, over a million objects that stay.

    Full collections, which running out of memory and much of torch ask for, would each take most of a second.
    """
    gc.freeze()
    atexit.register(gc.unfreeze)  # or libraries report at the end what they still hold


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caches live in a temporary folder, never in the user's home; all workers share one sample."""
    home = tmp_path_factory.mktemp("home")
    base = tmp_path_factory.getbasetemp()
    shared_by_workers = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["MICROG4M_HOME"] = str(shared_by_workers / "microg4m-home")
    os.environ.setdefault("HF_HOME", str(home / "hf"))
    # Both read the environment once. A test that changes it for itself must not be the first to import them.
    importlib.import_module("huggingface_hub.constants")
    importlib.import_module("datasets.config")
    return home


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the released annotation files and the references, or a skip that says why."""
    folder = Path(os.environ.get("MICROG4M_SHARED", PROJECT.parent / "shared"))
    if not (folder / "data" / "microg4m" / "actions.csv").is_file():
        pytest.skip(f"no released files at {folder}; set MICROG4M_SHARED to the folder that holds data/microg4m")
    return folder


@pytest.fixture(scope="session")
def released(shared: Path) -> Path:
    """The released annotation files (no videos, no bounding_boxes.csv)."""
    return shared / "data" / "microg4m"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A Hub on this machine; ``hub.environment()`` is what a process needs to talk to it."""
    with HubServer(tmp_path / "hub") as server:
        yield server


class _Quick:
    """The module ``time``, whose ``sleep`` takes a fiftieth of the time."""

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(seconds / 50)

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to the Hub are repeated as often as always, and sooner."""
    for module in ("huggingface_hub.utils._http", "microg4m_hf.hub"):
        monkeypatch.setattr(f"{module}.time", _Quick())
