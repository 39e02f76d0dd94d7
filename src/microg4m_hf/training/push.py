"""Push a finished run: model, card, scores and predictions, in one commit; a failed push loses nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..errors import RecipeError
from ..hub import hub_client, hub_errors, with_retries
from .run_folder import RunFolder, VlmFolder


def push_run(folder: str | os.PathLike[str], repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload the model of a run folder to the Hub and return the address of the commit.

    The same call again after a failure goes on: what the Hub already has is not sent twice.

    >>> push_run("/no/such/run", "me/i3d")
    Traceback (most recent call last):
    microg4m_hf.errors.RecipeError: /no/such/run holds no finished run; train first, the model comes with the last step
    """
    run = RunFolder(folder)
    if not (run.results.is_file() and (run.model / "README.md").is_file()):
        raise RecipeError(f"{run.path} holds no finished run; train first, the model comes with the last step")
    from huggingface_hub import CommitOperationAdd

    files = {path.relative_to(run.model).as_posix(): path for path in run.model.rglob("*") if path.is_file()}
    files |= {f"predictions/{path.name}": path for path in run.predictions.glob("*.parquet")}
    files |= {"results.json": run.results, "config_run.yaml": run.config}
    scores = json.loads(run.results.read_text(encoding="utf-8"))["test"]["scores"]
    api = hub_client(token)
    with hub_errors(f"push to {repo_id}"):
        with_retries(lambda: api.create_repo(repo_id, private=private, exist_ok=True))
        commit = with_retries(
            lambda: api.create_commit(
                repo_id,
                [CommitOperationAdd(name, str(path)) for name, path in sorted(files.items())],
                commit_message=f"{Path(folder).name}: test mAP {100 * scores['map']:.2f}",
            )
        )
    return str(commit.commit_url)


# Push an adapter with its card, recipe and log, in one commit.


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
    api = hub_client(token)
    with hub_errors(f"push to {repo_id}"):
        with_retries(lambda: api.create_repo(repo_id, private=private, exist_ok=True))
        operations = [CommitOperationAdd(name, str(file)) for name, file in sorted(files.items())]
        commit = with_retries(
            lambda: api.create_commit(repo_id, operations, commit_message=f"{folder.path.name}: LoRA adapter")
        )
    return str(commit.commit_url)
