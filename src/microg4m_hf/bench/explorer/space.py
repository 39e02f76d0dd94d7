"""Export the explorer as a Hub Space, and run it there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ..._version import __version__
from ...citation import CITATION
from ...errors import RecipeError
from ...extras import require
from ...storage import atomic_folder
from ..render.formatting import slug
from ..runs import RunInfo, find_runs
from .serve import HOST, PORT, explore

_APP = '''"""The MicroG-4M explorer as a Space. README.md lists the variables that select the data."""

from microg4m_hf.bench.explorer import run_space

RUNS = {runs}

if __name__ == "__main__":
    run_space(RUNS, source={source!r}, revision={revision!r}, scheme={scheme!r}, clips={clips!r})
'''


def export_space(
    folder: str | os.PathLike[str],
    runs: Iterable[str | os.PathLike[str]] = (),
    *,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
    scheme: str = "official",
    task: str | None = None,
    clips: bool = True,
) -> Path:
    """Write a Space with ``README.md``, ``app.py``, ``requirements.txt`` and the predictions of runs into a new folder.

    Args:
        folder: The new folder.
        runs: Run folders, folders of run folders, and prediction files, as for ``make_report``.
        data_dir: Always an error, because a Space cannot read local folders.
        source: ``"sample"`` (the default) or a Hub repository.
        revision: Commit, tag or branch of the Hub repository.
        scheme: The split scheme that is shown first.
        task: The task of files whose entries do not show it.
        clips: Whether the Space downloads the clips.

    Returns:
        The folder.

    Raises:
        RecipeError: The folder is not empty, a run cannot be read, or ``data_dir`` is given.
    """
    target = Path(folder)
    if data_dir is not None:
        raise RecipeError(
            f"--data-dir {data_dir}: a Space cannot read a folder of this machine; push the dataset "
            "(microg4m data push) and name the repository with --source"
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RecipeError(f"{target} is not empty; choose a new folder")
    gradio = require("gradio", "a Space of the explorer")
    paths = list(runs)
    found = find_runs(paths, task=task) if paths else []
    for run in found:
        if run.problem is not None:
            raise RecipeError(f"{run.name} cannot be added to the Space: {run.problem}; leave it out or fix it")
    source = source or "sample"
    with atomic_folder(target, replace=target.exists()) as scratch:
        copies = _copy_predictions(found, scratch)
        lines = "".join(f"    {name!r}: {path!r},\n" for name, path in copies.items())
        text = _APP.format(
            runs=f"{{\n{lines}}}" if lines else "{}", source=source, revision=revision, scheme=scheme, clips=clips
        )
        shown = "the built-in sample" if source == "sample" else f"`{source}`"
        card = (Path(__file__).parent / "page" / "space_card.md").read_text(encoding="utf-8")
        runs_shown = f" with the predictions of {', '.join(copies)}" if copies else ""
        card = card.format(gradio=_version(gradio), version=__version__, shown=shown, runs=runs_shown)
        (scratch / "README.md").write_text(f"{card}\n{CITATION}", encoding="utf-8")
        (scratch / "app.py").write_text(text, encoding="utf-8")
        (scratch / "requirements.txt").write_text(f"microg4m-hf[explore]>={__version__}\n", encoding="utf-8")
    return target


def run_space(
    runs: Mapping[str, str] | None = None,
    *,
    source: str = "sample",
    revision: str | None = None,
    scheme: str = "official",
    clips: bool = True,
) -> None:
    """Serve the explorer in a Space.

    The variables ``MICROG4M_SOURCE``, ``MICROG4M_REVISION``, ``MICROG4M_SCHEME`` and ``MICROG4M_CLIPS`` of the Space
    override the arguments.

    Args:
        runs: Paths of prediction files, by name.
        source: ``"sample"`` or a Hub repository.
        revision: Commit, tag or branch of the Hub repository.
        scheme: The split scheme that is shown first.
        clips: Whether to download the clips.
    """
    env = os.environ
    where: dict[str, Any] = {
        "source": env.get("MICROG4M_SOURCE") or source,
        "revision": env.get("MICROG4M_REVISION") or revision,
    }
    explore(
        [f"{name}={path}" for name, path in (runs or {}).items()],
        **where,
        scheme=env.get("MICROG4M_SCHEME") or scheme,
        clips=env["MICROG4M_CLIPS"] != "0" if "MICROG4M_CLIPS" in env else clips,
        host=env.get("GRADIO_SERVER_NAME", HOST),
        port=int(env.get("GRADIO_SERVER_PORT", PORT)),
    )


def _copy_predictions(runs: list[RunInfo], folder: Path) -> dict[str, str]:
    """Copy prediction files into the folder and return their paths by the names of their runs."""
    copies: dict[str, str] = {}
    for number, run in enumerate(runs, start=1):
        assert run.predictions is not None
        name = run.name.replace("=", "-")  # a run is named NAME=PATH, so a name cannot contain "="
        copies[name] = f"runs/{number:02}-{slug(name)}{run.predictions.suffix}"
        (folder / "runs").mkdir(exist_ok=True)
        shutil.copyfile(run.predictions, folder / copies[name])
    return copies


def _version(gradio: Any) -> str:
    try:
        return metadata.version("gradio")
    except metadata.PackageNotFoundError:
        return str(gradio.__version__)
