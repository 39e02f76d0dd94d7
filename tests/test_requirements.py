"""``setup.cfg`` declares what the code imports, each under the extra that an error would name."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from microg4m_hf.extras import EXTRAS
from tests.support.environments import base_requirements

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "src" / "microg4m_hf"
# Importable name -> distribution, where they differ.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "scenedetect": "scenedetect-headless",
    "yaml": "pyyaml",
}
# Packages that a user chooses by name (`--quantization`) or runs the library with; the errors say `pip install <name>`.
CHOSEN_BY_USERS = {"bitsandbytes", "inspect_ai"}


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(PROJECT / "setup.cfg", encoding="utf-8")
    return parser


def extra(name: str) -> dict[str, Requirement]:
    """Return the requirements of an extra by distribution, those of the extras in it included."""
    found: dict[str, Requirement] = {}
    for line in settings()["options.extras_require"][name].splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) == "microg4m-hf":
                for inner in requirement.extras:
                    found = {**extra(inner), **found}
            else:
                found[canonicalize_name(requirement.name)] = requirement
    return found


def imports() -> Iterator[tuple[str, str]]:
    """Yield (top-level name, file) of every import of another package, also those in functions and in `require`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("require", "extras.require"):
                names = [node.args[0].value] if isinstance(node.args[0], ast.Constant) else []
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top != "microg4m_hf":
                    yield top, str(path.relative_to(PACKAGE))


def test_every_import_is_declared() -> None:
    base = {canonicalize_name(Requirement(line).name) for line in base_requirements()}
    missing = {}
    for top, file in imports():
        name = canonicalize_name(DISTRIBUTIONS.get(top, top))
        if name in base or top in CHOSEN_BY_USERS:
            continue
        if top not in EXTRAS or name not in extra(EXTRAS[top]):
            missing[top] = file
    assert missing == {}


def test_every_extra_in_an_error_message_installs_the_package() -> None:
    for top, name in EXTRAS.items():
        assert canonicalize_name(DISTRIBUTIONS.get(top, top)) in extra(name), (top, name)


def test_all_has_every_extra_except_those_of_one_platform_and_of_developers() -> None:
    names = set(settings()["options.extras_require"]) - {"all", "dev", "decord", "docs"}
    assert set(extra("all")) == {package for name in names for package in extra(name)}
    assert all(requirement.marker is None for requirement in extra("all").values())
    assert extra("decord")["decord"].marker is not None


@pytest.mark.parametrize("name", ["", "api", "curate", "explore", "meteor", "opencv", "ray", "text", "train", "vlm"])
def test_the_versions_in_the_documentation_are_those_of_setup_cfg(name: str) -> None:
    """The page lists the lower bounds that were installed and tested; a new bound has to be tested again."""
    page = (PROJECT / "docs" / "versions.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {name or 'base'} \| ([^|]*) \|", page, re.MULTILINE)
    assert row is not None
    own = settings()["options.extras_require"][name].splitlines() if name else base_requirements()
    declared = {
        f"{canonicalize_name(r.name)} {next(iter(r.specifier)).version}"
        for r in (Requirement(line) for line in own if line and line[0] not in "#")
        if canonicalize_name(r.name) != "microg4m-hf"
    }
    assert set(row[1].split(", ")) == declared


def test_the_minimum_python_is_the_same_everywhere() -> None:
    minimum = settings()["options"]["python_requires"].removeprefix(">=")
    classifiers = re.findall(r"Python :: (3\.\d+)$", settings()["metadata"]["classifiers"], re.MULTILINE)
    assert classifiers[0] == minimum and classifiers == sorted(classifiers, key=lambda v: int(v[2:]))
    for file in ("README.md", "Makefile", "docs/versions.md"):
        assert f"Python {minimum}" in (PROJECT / file).read_text(encoding="utf-8"), file
    assert f'target-version = "py{minimum.replace(".", "")}"' in (PROJECT / "pyproject.toml").read_text()


def test_installed_packages_satisfy_the_bounds() -> None:
    for line in base_requirements():
        requirement = Requirement(line)
        assert metadata.version(requirement.name) in requirement.specifier, line
