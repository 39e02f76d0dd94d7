"""Push an adapter with its card, recipe and log, in one commit."""

from __future__ import annotations

import os

from ..errors import RecipeError
from ..hub import client, explained, patiently
from .vlm_folder import VlmFolder


def push_adapter(path: str | os.PathLike[str], repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload the adapter of a finished run and return the address of the commit.

    >>> push_adapter("/no/such/run", "me/adapter")
    Traceback (most recent call last):
    microg4m_hf.errors.RecipeError: /no/such/run holds no adapter; train first
    """
    folder = VlmFolder(path)
    if not (folder.adapter / "README.md").is_file():
        raise RecipeError(f"{folder.path} holds no adapter; train first")
    from huggingface_hub import CommitOperationAdd

    files = {file.relative_to(folder.adapter).as_posix(): file for file in folder.adapter.rglob("*") if file.is_file()}
    files |= {"config_run.yaml": folder.config, "metrics.jsonl": folder.path / "metrics.jsonl"}
    api = client(token)
    with explained(f"push to {repo_id}"):
        patiently(lambda: api.create_repo(repo_id, private=private, exist_ok=True))
        operations = [CommitOperationAdd(name, str(file)) for name, file in sorted(files.items())]
        commit = patiently(
            lambda: api.create_commit(repo_id, operations, commit_message=f"{folder.path.name}: LoRA adapter")
        )
    return str(commit.commit_url)
