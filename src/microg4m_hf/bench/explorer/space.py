"""The explorer as a Hub Space: a folder that is ready to be pushed, and what its ``app.py`` calls."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ..._version import __version__
from ...errors import RecipeError
from ...extras import require
from ...storage import atomic_folder
from ..render.names import slug
from ..runs import System, find_systems
from .serve import HOST, PORT, explore

_CARD = """---
title: MicroG-4M explorer
emoji: 🛰️
colorFrom: blue
colorTo: gray
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
pinned: false
license: apache-2.0
short_description: Clips of people in microgravity, with boxes and answers
---

# MicroG-4M explorer

Clips with boxes and tracks, actions, captions and questions, and what models say of them, by
[microg4m-hf](https://pypi.org/project/microg4m-hf/) {version}. Data: CC-BY-4.0, by the authors of MicroG-4M.

Without settings it shows {shown}. The variables of the Space choose another data set:

| variable | means |
| --- | --- |
| `MICROG4M_SOURCE` | `sample`, `hub` (the authors' repositories) or a data set repository `org/name` with the release |
| `MICROG4M_REVISION` | its commit, tag or branch |
| `MICROG4M_SCHEME` | `official` or `source_disjoint` |
| `MICROG4M_CLIPS` | `0` leaves the clips out and shows boxes on an empty stage |
"""

_APP = '''"""The MicroG-4M explorer as a Space; README.md lists the variables that choose the data."""

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
    """Write ``README.md``, ``app.py``, ``requirements.txt`` and the predictions of ``runs`` into a new folder.

    The Space shows the sample unless ``source`` names a Hub repository; a folder of this machine cannot go there.
    """
    target = Path(folder)
    if data_dir is not None:
        raise RecipeError(
            f"--data-dir {data_dir}: a Space does not reach a folder of this machine; push the data set first "
            "(microg4m data push) and name it with --source"
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RecipeError(f"{target} is not empty; give a new folder, so that nothing is lost")
    gradio = require("gradio", "a Space of the explorer")
    given = list(runs)
    systems = find_systems(given, task=task) if given else []
    broken = [system for system in systems if system.problem is not None]
    if broken:
        raise RecipeError(f"{broken[0].name} cannot go into the Space: {broken[0].problem}")
    source = source or "sample"
    with atomic_folder(target, replace=target.exists()) as scratch:
        named = _copy_predictions(systems, scratch)
        lines = "".join(f"    {name!r}: {path!r},\n" for name, path in named.items())
        text = _APP.format(
            runs=f"{{\n{lines}}}" if lines else "{}", source=source, revision=revision, scheme=scheme, clips=clips
        )
        shown = "the built-in sample" if source == "sample" else f"`{source}`"
        (scratch / "README.md").write_text(
            _CARD.format(gradio=_version(gradio), version=__version__, shown=shown), encoding="utf-8"
        )
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
    """Serve the explorer where a Space expects it; variables of the Space go before the arguments."""
    said = os.environ
    where: dict[str, Any] = {
        "source": said.get("MICROG4M_SOURCE") or source,
        "revision": said.get("MICROG4M_REVISION") or revision,
    }
    explore(
        [f"{name}={path}" for name, path in (runs or {}).items()],
        **where,
        scheme=said.get("MICROG4M_SCHEME") or scheme,
        clips=said["MICROG4M_CLIPS"] != "0" if "MICROG4M_CLIPS" in said else clips,
        host=said.get("GRADIO_SERVER_NAME", HOST),
        port=int(said.get("GRADIO_SERVER_PORT", PORT)),
    )


def _copy_predictions(systems: list[System], folder: Path) -> dict[str, str]:
    """Prediction files under names of their own, with the names they are shown by."""
    named: dict[str, str] = {}
    for number, system in enumerate(systems, start=1):
        assert system.predictions is not None
        # "=" would cut a name short, since a run is named NAME=PATH.
        name = system.name.replace("=", "-")
        place = f"runs/{number:02}-{slug(name)}{system.predictions.suffix}"
        (folder / "runs").mkdir(exist_ok=True)
        shutil.copyfile(system.predictions, folder / place)
        named[name] = place
    return named


def _version(gradio: Any) -> str:
    try:
        return metadata.version("gradio")
    except metadata.PackageNotFoundError:
        return str(gradio.__version__)
