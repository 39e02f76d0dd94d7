"""Put the ``evaluate`` modules on the Hub as Spaces, so that ``evaluate.load("org/microg4m_har")`` works anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import RecipeError
from ..hub import hub_client, hub_errors, with_retries
from ..runtime import progress

_NEEDED = ("README.md", "app.py", "requirements.txt")


def metric_folders(folder: str | os.PathLike[str]) -> list[Path]:
    """The modules of a folder: sub-folders with a Python file of their own name and a Space's files.

    >>> metric_folders("/no/such/folder")
    Traceback (most recent call last):
    microg4m_hf.errors.RecipeError: /no/such/folder holds no metric modules; give the folder metrics/ of the project
    """
    root = Path(folder)
    found = sorted(path for path in root.glob("*") if (path / f"{path.name}.py").is_file())
    if not found:
        raise RecipeError(f"{root} holds no metric modules; give the folder metrics/ of the project")
    for path in found:
        missing = [name for name in _NEEDED if not (path / name).is_file()]
        if missing:
            raise RecipeError(f"{path} has no {', '.join(missing)}; a Space needs {', '.join(_NEEDED)}")
    return found


def push_metrics(
    namespace: str,
    folder: str | os.PathLike[str] = "metrics",
    *,
    private: bool = False,
    token: str | None = None,
) -> list[str]:
    """Push every module as ``<namespace>/<module>``; the same call again changes only what changed.

    Returns the names to give to ``evaluate.load``.
    """
    folders = metric_folders(folder)
    names = []
    for path in progress(folders, f"pushing to {namespace}", unit="Space"):
        name = f"{namespace}/{path.name}"
        with hub_errors(f"push to {name}"):
            _push(name, path, private, token)
        names.append(name)
    return names


def _push(name: str, folder: Path, private: bool, token: str | None) -> None:
    api = hub_client(token)
    with_retries(lambda: api.create_repo(name, repo_type="space", space_sdk="gradio", private=private, exist_ok=True))
    with_retries(
        lambda: api.upload_folder(
            repo_id=name,
            repo_type="space",
            folder_path=str(folder),
            ignore_patterns=["__pycache__/*", "*.pyc"],
            commit_message=f"microg4m-hf: {folder.name}",
        )
    )
