"""Run ``dataset_check.py`` with each supported version of ``datasets`` and write a table of the results.

    python -m tests.support.dataset_versions      # rewrites docs/dataset_versions.md

The environments are stored in ``.venvs`` under a hash of their pins, so each is created once.
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
DOWNLOAD_ERRORS = ("error sending request", "dns error", "Failed to fetch", "(Connect)", "No interpreter found")


def lower_bounds() -> dict[str, str]:
    """Return the base dependencies of setup.cfg with their lowest versions.

    >>> "datasets" in lower_bounds()
    True
    """
    settings = configparser.ConfigParser()
    settings.read(PROJECT / "setup.cfg")
    lines = settings["options"]["install_requires"].split("\n")
    wanted = [line.partition("#")[0].partition(",")[0].strip() for line in lines]
    return dict(line.split(">=") for line in wanted if line)


def environments() -> dict[str, list[str]]:
    """Return name -> packages to install; the first environment has every base dependency at its lowest version."""
    newest = [name for name in lower_bounds() if name != "datasets"]
    lowest = [f"{name}=={version}" for name, version in lower_bounds().items()]
    return {
        "lowest": lowest,
        "3.6": ["datasets==3.6.0", *newest],
        "4.8": ["datasets==4.8.5", *newest],
        "5.2": ["datasets==5.2.0", *newest],
    }


def ensure_python(name: str, pins: list[str]) -> Path:
    """Return the interpreter of an environment, which is created on first use."""
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


def run_check(name: str, pins: list[str], release: Path, hub: dict[str, str]) -> dict:
    """Run ``dataset_check.py`` in an environment and return its results; raise ``RuntimeError`` if it crashes."""
    try:
        python = ensure_python(name, pins)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"the environment {name} cannot be created: {error.stderr}") from error
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
        raise RuntimeError(f"{check.name} crashed in the environment {name}:\n{done.stderr[-4000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "log": done.stderr}


def run_all_checks(release: Path) -> dict[str, dict]:
    """Return the results of every environment, running two at a time."""
    wanted = environments()
    with HubServer() as hub, ThreadPoolExecutor(2) as pool:
        put_release(hub, release)
        results = pool.map(lambda name: run_check(name, wanted[name], release, hub.environment()), wanted)
        return dict(zip(wanted, results, strict=True))


def render_table(results: dict[str, dict]) -> str:
    """Return a Markdown table with one row per capability and one column per version."""
    versions = [result["versions"]["datasets"] for result in results.values()]
    lines = ["| check | " + " | ".join(f"`datasets` {version}" for version in versions) + " |"]
    lines.append("| --- |" + " --- |" * len(versions))
    for what in next(iter(results.values()))["outcome"]:
        cells = [result["outcome"][what] for result in results.values()]
        lines.append(f"| {what} | " + " | ".join("yes" if word == "yes" else "no" for word in cells) + " |")
    return "\n".join(lines)


def render_page(results: dict[str, dict]) -> str:
    return (
        "# Supported versions of `datasets`\n\n"
        "`tests/test_dataset_versions.py` runs these checks in a separate environment for each version.\n"
        "To update this page, run `python -m tests.support.dataset_versions`.\n\n"
        f"{render_table(results)}\n\n"
        "The environment of the first column has every base dependency at the lowest version that `setup.cfg` allows.\n"
        "`datasets` 4 and later do not run loading scripts.\n"
    )


_CAPTURED: dict = {"capture_output": True, "text": True, "timeout": 600}


def main() -> None:
    from microg4m_hf.data import ensure_sample

    results = run_all_checks(Path(ensure_sample()))
    for name, result in results.items():
        for what, word in result["outcome"].items():
            if word != "yes":
                print(f"{name}: {what}: {word}")
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(render_page(results))
    print(render_table(results))


if __name__ == "__main__":
    main()
