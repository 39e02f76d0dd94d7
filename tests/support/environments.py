"""An environment with the packages of the base install only, linked from the one that runs the tests."""

from __future__ import annotations

import configparser
import sysconfig
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SOURCE = Path(__file__).resolve().parents[2] / "src"


def base_requirements() -> list[str]:
    """Return ``install_requires`` of ``setup.cfg``."""
    settings = configparser.ConfigParser()
    settings.read(SOURCE.parent / "setup.cfg", encoding="utf-8")
    return [line for line in settings["options"]["install_requires"].splitlines() if line and line[0] != "#"]


def distributions_of(requirements: Iterable[str]) -> set[str]:
    """Return the names of the installed distributions that these requirements and their own ones ask for."""
    done: set[tuple[str, str]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for known, extra in done if known == name}:
            done.add((name, extra))
            needs = [Requirement(text) for text in metadata.requires(name) or []]
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in done}


def linked_environment(folder: Path, requirements: Iterable[str]) -> Path:
    """Make a virtual environment with these packages, as links, and this library; return its Python."""
    venv.EnvBuilder(symlinks=True).create(folder)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for name in distributions_of(requirements):
        for file in metadata.files(name) or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / top)
    (packages / "microg4m_hf.pth").write_text(f"{SOURCE}\n")
    return folder / "bin" / "python"
