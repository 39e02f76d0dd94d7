"""Push the ``evaluate`` modules to the Hub as Spaces, so that ``evaluate.load("org/microg4m_har")`` works anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import RecipeError
from ..hub import hub_client, hub_errors, with_retries
from ..runtime import progress

MODULES = Path(__file__).with_name("modules")
_SPACE_FILES = ("README.md", "app.py", "example.json", "requirements.txt")


def metric_folders(folder: str | os.PathLike[str] = MODULES) -> list[Path]:
    """List the modules of a folder: subfolders with a Python file of their own name and the files of a Space.

    >>> metric_folders("/no/such/folder")
    Traceback (most recent call last):
    microg4m_hf.errors.RecipeError: /no/such/folder holds no metric modules; leave it out for the built-in ones
    """
    root = Path(folder)
    found = sorted(path for path in root.glob("*") if (path / f"{path.name}.py").is_file())
    if not found:
        raise RecipeError(f"{root} holds no metric modules; leave it out for the built-in ones")
    for path in found:
        missing = [name for name in _SPACE_FILES if not (path / name).is_file()]
        if missing:
            raise RecipeError(f"{path} has no {', '.join(missing)}; a Space needs {', '.join(_SPACE_FILES)}")
    return found


def push_metrics(
    namespace: str, folder: str | os.PathLike[str] = MODULES, *, private: bool = False, token: str | None = None
) -> list[str]:
    """Push every module as ``<namespace>/<module>``. Calling it again uploads only changed files.

    Args:
        namespace: User or organization on the Hub.
        folder: A folder with modules, by default the built-in ones.
        private: Whether new Spaces are private.
        token: Token of the Hub, by default the saved one.

    Returns:
        The names to pass to ``evaluate.load``.

    Raises:
        RecipeError: The folder holds no complete module.
        HubError: The Hub refuses or cannot be reached.
    """
    names = []
    for path in progress(metric_folders(folder), f"pushing to {namespace}", unit="Space"):
        names.append(f"{namespace}/{path.name}")
        with hub_errors(f"push to {names[-1]}"):
            _push(names[-1], path, private, token)
    return names


def _push(name: str, folder: Path, private: bool, token: str | None) -> None:
    api = hub_client(token)
    # huggingface_hub (0.24 to 2.4) retries neither the creation of a repository nor a commit.
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
