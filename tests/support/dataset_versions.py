"""One small environment per supported version of ``datasets``; runs ``dataset_check.py`` in each and makes a table.

    python -m tests.support.dataset_versions      # rewrites docs/dataset_versions.md

The environments live in ``.venvs``, named by a hash of their pins, so they are made once.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from tests.support.hub_release import put_release
from tests.support.hub_server import HubServer

PROJECT = Path(__file__).resolve().parent.parent.parent
TABLE = PROJECT / "docs" / "dataset_versions.md"
CANNOT_BE_FETCHED = ("error sending request", "dns error", "Failed to fetch", "(Connect)", "No interpreter found")


def lower_bounds() -> dict[str, str]:
    """The base dependencies of setup.cfg with the lowest version that it admits.

    >>> "datasets" in lower_bounds()
    True
    """
    settings = configparser.ConfigParser()
    settings.read(PROJECT / "setup.cfg")
    lines = settings["options"]["install_requires"].split("\n")
    wanted = [line.partition("#")[0].partition(",")[0].strip() for line in lines]
    return dict(line.split(">=") for line in wanted if line)


def environments() -> dict[str, list[str]]:
    """Name of the environment -> what to install; the first holds every base dependency at its lowest version."""
    newest = [name for name in lower_bounds() if name != "datasets"]
    lowest = [f"{name}=={version}" for name, version in lower_bounds().items()]
    return {
        "lowest": lowest,
        "3.6": ["datasets==3.6.0", *newest],
        "4.8": ["datasets==4.8.5", *newest],
        "5.2": ["datasets==5.2.0", *newest],
    }


def python_of(name: str, pins: list[str]) -> Path:
    """The interpreter of an environment; makes the environment if it is not there."""
    # numpy 1.24 has no wheels for Python 3.12 and later.
    version = "3.11" if name == "lowest" and sys.version_info >= (3, 12) else sys.executable
    key = hashlib.sha256("\n".join([version, *pins]).encode()).hexdigest()[:12]
    folder = PROJECT / ".venvs" / f"datasets-{name}-{key}"
    python, ready = folder / "bin" / "python", folder / "ready"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.parent / f"{name}.lock"):  # tests of other files use the environments too
        if not ready.exists():
            for older in folder.parent.glob(f"datasets-{name}-*"):
                shutil.rmtree(older)
            uv = [sys.executable, "-m", "uv"]
            subprocess.run(
                [*uv, "venv", "--quiet", "--clear", "--python", version, str(folder)], check=True, **_CAPTURED
            )
            subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), *pins], check=True, **_CAPTURED)
            ready.touch()
    return python


def outcome_of(name: str, pins: list[str], release: Path, hub: dict[str, str]) -> dict:
    """What ``dataset_check.py`` prints in an environment; ``RuntimeError`` with its output when it prints nothing."""
    try:
        python = python_of(name, pins)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"the environment {name} cannot be made: {error.stderr}") from error
    script = PROJECT / "loading_scripts" / "microg4m.py"
    check = PROJECT / "tests" / "support" / "dataset_check.py"
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [str(python), str(check), str(release), str(script), cache],
            cwd=cache,
            env={**os.environ, **hub, "PYTHONPATH": str(PROJECT / "src"), "PYTHONSAFEPATH": "1"},
            **_CAPTURED,
        )
    if done.returncode:
        raise RuntimeError(f"{check.name} broke down in the environment {name}:\n{done.stderr[-4000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "log": done.stderr}


def all_outcomes(release: Path) -> dict[str, dict]:
    """The outcome of every environment, two at a time."""
    wanted = environments()
    with HubServer() as hub, ThreadPoolExecutor(2) as pool:
        put_release(hub, release)
        outcomes = pool.map(lambda name: outcome_of(name, wanted[name], release, hub.environment()), wanted)
        return dict(zip(wanted, outcomes, strict=True))


def table_of(outcomes: dict[str, dict]) -> str:
    """Capabilities down, versions across, in Markdown."""
    versions = [outcome["versions"]["datasets"] for outcome in outcomes.values()]
    lines = ["| | " + " | ".join(f"`datasets` {version}" for version in versions) + " |"]
    lines.append("| --- |" + " --- |" * len(versions))
    for what in next(iter(outcomes.values()))["outcome"]:
        said = [outcome["outcome"][what] for outcome in outcomes.values()]
        lines.append(f"| {what} | " + " | ".join("yes" if word == "yes" else "no" for word in said) + " |")
    return "\n".join(lines)


def document(outcomes: dict[str, dict]) -> str:
    return (
        "# What works with which version of `datasets`\n\n"
        "Tried in an environment of its own for each version, by `tests/test_dataset_versions.py`;\n"
        "`python -m tests.support.dataset_versions` writes this page anew.\n\n"
        f"{table_of(outcomes)}\n\n"
        "The first column is also the lowest version that `setup.cfg` admits of everything else.\n"
        "`datasets` 4 and later run no loading scripts.\n"
    )


_CAPTURED: dict = {"capture_output": True, "text": True, "timeout": 600}


def main() -> None:
    from microg4m_hf.data import ensure_sample

    outcomes = all_outcomes(Path(ensure_sample()))
    for name, outcome in outcomes.items():
        for what, word in outcome["outcome"].items():
            if word != "yes":
                print(f"{name}: {what}: {word}")
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(document(outcomes))
    print(table_of(outcomes))


if __name__ == "__main__":
    main()
