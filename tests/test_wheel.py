"""What pip installs is the whole product: it works in a fresh environment, an empty folder and an empty home."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import nbformat
import pytest

from docs.scripts.notebooks import INSTALL, clean
from tests.support.dataset_versions import DOWNLOAD_ERRORS
from tests.support.documents import PROJECT, readme_commands, readme_python
from tests.support.hub_server import HubServer
from tests.support.report_runs import as_csv
from tests.support.warm_python import warm_python

pytestmark = pytest.mark.slow
GENERATED = shutil.ignore_patterns(
    ".git", ".venv", ".venvs", "__pycache__", "*.egg-info", "*.lock", ".*_cache", ".hypothesis", ".ipynb_checkpoints",
    "build", "dist", "runs", "demo_output", "site", ".cache",
)  # fmt: skip
NOTEBOOKS = sorted(PROJECT.glob("notebooks/*.ipynb"))
# README commands that cannot run here, and why.
NOT_HERE = {
    "accelerate launch": "weights",
    "Qwen/": "weights",
    "reproduce": "weights; test_reproduce",
    "explore": "stays until Ctrl-C; test_explorer_process",
    "watch": "a film and a detector; test_watch",
}


def uv(*words: str) -> str:
    """Run uv, and skip the tests where the package registry cannot be reached."""
    ran = subprocess.run([sys.executable, "-m", "uv", *words], capture_output=True, text=True, timeout=3600)
    if ran.returncode and any(sign in ran.stderr for sign in DOWNLOAD_ERRORS):
        pytest.skip(f"the package registry cannot be reached: {ran.stderr[-300:]}")
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the disk of uv's cache, so that uv links five gigabytes of packages instead of copying them."""
    folder, cache = tmp_path_factory.mktemp("wheel"), Path(uv("cache", "dir").strip())
    if cache.is_dir() and folder.stat().st_dev != cache.stat().st_dev:
        folder = Path(tempfile.mkdtemp(prefix="microg4m-wheel-", dir=cache.parent))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tree(place: Path) -> Path:
    """The project without what is generated, so that an old build cannot help."""
    return shutil.copytree(PROJECT, place / "tree", ignore=GENERATED)


@pytest.fixture(scope="module")
def dist(place: Path, tree: Path) -> Path:
    """The source distribution, and the wheel that is built from it."""
    uv("build", "--quiet", "--out-dir", str(place / "dist"), str(tree))
    return place / "dist"


class Environment:
    """A fresh environment with an empty home. Programs see neither the project nor the network."""

    def __init__(self, place: Path) -> None:
        self.bin, self.home = place / "env" / "bin", place / "home"
        self.home.mkdir()
        self.installed: list[str] = []
        uv("venv", "--quiet", "--python", sys.executable, str(self.bin.parent))
        nowhere = "http://127.0.0.1:9"
        self.variables = {
            **{name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ},
            "HOME": str(self.home),
            "OMP_NUM_THREADS": "1",
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def install(self, *packages: str) -> None:
        self.installed += packages
        uv("pip", "install", "--quiet", "--python", str(self.bin / "python"), *packages)

    def run(self, command: str | list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a line of the README in a shell, or words."""
        words = ["bash", "-c", command] if isinstance(command, str) else command
        warm = Path(warm_python(str(self.bin / "python"), self.variables, label=" ".join(self.installed))).parent
        variables = self.variables | more | {"PATH": os.pathsep.join([str(warm), str(self.bin), os.defpath])}
        return subprocess.run(
            words, cwd=folder, env=variables, capture_output=True, text=True, timeout=3600, check=False
        )


@pytest.fixture(scope="module")
def base(place: Path, dist: Path) -> Environment:
    environment = Environment(place)
    environment.install(str(next(dist.glob("*.whl"))))
    return environment


@pytest.fixture(scope="module")
def trainer(base: Environment, dist: Path) -> Environment:
    """The same environment with the extra for networks, and what runs notebooks."""
    base.install(f"{next(dist.glob('*.whl'))}[train]", "nbclient", "ipykernel")
    return base


def test_the_source_distribution_is_the_project(tree: Path, dist: Path) -> None:
    files = [path for path in tree.rglob("*") if path.is_file() and ".egg-info" not in path.parent.suffix]
    expected = {path.relative_to(tree).as_posix(): path.read_bytes() for path in files}
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        members = {member.name.partition("/")[2]: member for member in archive if member.isfile()}
        found = {name: archive.extractfile(member).read() for name, member in members.items()}  # type: ignore[union-attr]
    added = {name for name in found if name == "PKG-INFO" or ".egg-info/" in name}
    assert found.keys() - added == expected.keys()
    differing = {name for name, content in expected.items() if found[name] != content}
    assert differing == {"setup.cfg"}  # setuptools writes it anew, without its comments


def test_the_wheel_of_the_project_is_that_of_the_source_distribution(place: Path, tree: Path, dist: Path) -> None:
    uv("build", "--quiet", "--wheel", "--out-dir", str(place / "direct"), str(tree))
    one, other = (_content(next(folder.glob("*.whl"))) for folder in (dist, place / "direct"))
    assert one == other
    package = tree / "src" / "microg4m_hf"
    files = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}
    assert files == {name for name in one if ".dist-info/" not in name}


def _content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_page_on_pypi(dist: Path) -> None:
    content = _content(next(dist.glob("*.whl")))
    text = next(data for name, data in content.items() if name.endswith("METADATA")).decode()
    fields = Parser().parsestr(text)
    links = re.findall(r"\]\(([^)]*)\)", fields.get_payload())
    assert len(links) > 15 and all(link.startswith("https://") for link in links)
    inside = {link.partition("/main/")[2] for link in links if link.startswith(f"{fields['Home-page']}/")}
    assert all((PROJECT / name).exists() for name in inside) and "docs/contact_sheet.png" in inside
    urls = dict(value.split(", ") for value in fields.get_all("Project-URL", []))
    assert {"Documentation", "Source", "Changelog", "Paper"} <= urls.keys()
    assert all(urls[name].startswith(fields["Home-page"]) for name in ("Documentation", "Source", "Changelog"))
    assert fields["Author"] and fields["Description-Content-Type"] == "text/markdown"
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.13"} <= set(fields.get_all("Classifier", []))


def test_without_extras(base: Environment, tmp_path: Path) -> None:
    """Commands and code run, or say which extra they need."""
    blocks = [text for text in readme_python() if "import torch" not in text]
    ran = base.run(["python", "-c", "\n".join(blocks)], tmp_path)
    assert ran.returncode == 0 and "'map': 1.0" in ran.stdout, ran.stderr[-2000:]
    needing = set()
    for line in [*readme_commands(marked=False), "microg4m train list", "microg4m demo --look-only", "microg4m demo"]:
        ran = base.run(line, tmp_path)
        if ran.returncode:
            needing.add(line)
            assert ran.returncode == 2 and "microg4m-hf[train]" in ran.stderr, f"{line}\n{ran.stderr[-2000:]}"
            assert ran.stderr.count("\n") == 1, ran.stderr
    assert needing == {"microg4m models info x3d_s", "microg4m demo"}


def test_the_metrics_are_pushed_from_anywhere(base: Environment, tmp_path: Path) -> None:
    with HubServer(tmp_path / "hub", tokens={"hf_test": "me"}) as hub:
        ran = base.run("microg4m metrics push me", tmp_path, **hub.environment("hf_test"))
    assert ran.returncode == 0 and ran.stdout.count('evaluate.load("me/microg4m_') == 3, ran.stderr[-2000:]


def test_python_of_the_readme(trainer: Environment, tmp_path: Path) -> None:
    """Run all blocks one after the other in one session."""
    ran = trainer.run(["python", "-c", "\n".join(readme_python())], tmp_path)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "'map': 1.0" in ran.stdout


def test_commands_of_the_readme(trainer: Environment, tmp_path: Path) -> None:
    """Run all of them, with a shorter training, the sample as release, and its predictions as the released ones."""
    assert all(any(part in line for line in readme_commands()) for part in NOT_HERE)
    lines = [line for line in readme_commands() if not any(part in line for part in NOT_HERE)]
    first = next(line for line in lines if line.startswith("microg4m train"))
    lines.remove(first)
    assert len(lines) >= 10
    for line in [f"{first} loop.max_steps=2", *lines]:
        if line.endswith("--data-dir microg4m") or "--data-dir microg4m " in line:
            _release(tmp_path, trainer)
        ran = trainer.run(line, tmp_path)
        assert ran.returncode == 0, f"{line}\n{ran.stdout[-1000:]}{ran.stderr[-2000:]}"


def _release(folder: Path, environment: Environment) -> None:
    """Put the sample and predictions where the README has the release and the released predictions."""
    if (folder / "microg4m").exists():
        return
    shown = environment.run("microg4m data sample", folder)
    (folder / "microg4m").symlink_to(next(path for path in shown.stdout.split() if Path(path).is_dir()))
    predictions = as_csv(folder / "runs" / "demo-own" / "predictions" / "test.parquet")
    for place in (folder, folder / "i3d", folder / "c2d"):
        place.mkdir(exist_ok=True)
        (place / "detections_test.csv").write_bytes(predictions)


def test_the_demo(trainer: Environment, tmp_path: Path) -> None:
    """With trainings of three steps: every command in its order, and the report."""
    ran = trainer.run("microg4m demo --steps 3", tmp_path)
    assert ran.returncode == 0, ran.stderr[-2000:]
    commands = re.findall(r"^  \$ (?:microg4m )?(\w+)", ran.stdout, flags=re.MULTILINE)
    asked = ["predict", "score"]
    assert commands == ["data", "train", "score", "python", *asked, *asked, *asked, "compare", "report"]
    assert "training on 21 training clips of the sample" in ran.stdout
    assert "blind baseline 50.0 %" in ran.stdout
    page = (tmp_path / "demo_output" / "report" / "report.html").read_text()
    assert "vqa-blind" in page and "vqa-tiny-vlm" in page and "caption-tiny-vlm" in page


def _only_the_upright_network_has_a_gap(folder: Path) -> None:
    """Notebook 05: the network trained on upright people relies on the orientation, the other does not."""
    upright, turned = (
        json.loads((folder / "gap" / kind / "report.json").read_text()) for kind in ("upright", "turned")
    )
    assert upright["turns"][0]["map"] > 0.8
    assert turned["turns"][0]["map"] > 0.8
    assert upright["gap"]["difference"] > 0.15 and upright["gap"]["interval"][0] > 0 and upright["gap"]["p"] < 0.05
    low, high = turned["gap"]["interval"]
    assert abs(turned["gap"]["difference"]) < 0.05 and low < 0 < high and turned["gap"]["p"] > 0.05


def _outputs(path: Path) -> list[list[str]]:
    """The kinds of the outputs of every cell; what pip prints depends on the machine."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    shown = [clean(cell.outputs, 1, {}) for cell in cells if not cell.source.startswith(INSTALL)]
    return [[kind for one in outputs for kind in one.get("data", {"stream": one})] for outputs in shown]


RESULTS = {"05_the_gap": _only_the_upright_network_has_a_gap}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks(path: Path, trainer: Environment, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path)
    ran = trainer.run(["jupyter-execute", "--timeout=3600", "--output=executed", path.name], tmp_path)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert _outputs(tmp_path / "executed.ipynb") == _outputs(path), "run python -m docs.scripts.notebooks"
    if path.stem in RESULTS:
        RESULTS[path.stem](tmp_path)
