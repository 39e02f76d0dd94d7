"""Push a finished run to the Hub in one commit. A failed push changes nothing, and the same call tries again."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..errors import HubError, MicroG4MError, RecipeError
from ..hub import hub_client, hub_errors, with_retries
from .card import REPOSITORY
from .run_folder import RunFolder


def push_run(folder: str | os.PathLike[str], repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload what a run has trained: a model with its scores and predictions, or an adapter with its log.

    Files that the Hub already has, for example after a failed push, are not sent again.

    Args:
        folder: The folder of a finished run.
        repo_id: The model repository, created if it does not exist.
        private: Make a new repository private.
        token: A token of the Hub; by default the one you are logged in with.

    Returns:
        The address of the commit.

    Raises:
        RecipeError: If the run is not finished.
        HubError: If the Hub refuses the push or cannot be reached.

    Example:
        >>> push_run("/no/such/run", "me/i3d")
        Traceback (most recent call last):
        microg4m_hf.errors.RecipeError: /no/such/run does not contain a finished run; train first, then push
    """
    from huggingface_hub import CommitOperationAdd

    run = RunFolder(folder)
    files, message = _files_to_push(run)
    card = files.pop("README.md").read_text(encoding="utf-8").replace(REPOSITORY, repo_id)
    operations = [CommitOperationAdd(name, str(path)) for name, path in sorted(files.items())]
    operations.append(CommitOperationAdd("README.md", card.encode()))
    api = hub_client(token)
    with hub_errors(f"push to {repo_id}"):
        # huggingface_hub (0.24 to 2.4) retries neither of these two requests.
        with_retries(lambda: api.create_repo(repo_id, private=private, exist_ok=True))
        commit = with_retries(lambda: api.create_commit(repo_id, operations, commit_message=message))
    return str(commit.commit_url)


def push_after_training(run: RunFolder, repo_id: str) -> None:
    """Push a run that has just ended and print the address; an error names the command that tries again."""
    try:
        print(f"pushed to {push_run(run.path, repo_id)}")
    except MicroG4MError as error:
        retry = f"microg4m push {run.path} {repo_id}"
        raise HubError(f"{error}. The run is complete; to push it again: {retry}") from error


def _files_to_push(run: RunFolder) -> tuple[dict[str, Path], str]:
    """The local file of every path in the repository, and the message of the commit."""
    if run.results.is_file() and (run.model / "README.md").is_file():
        files = _files_in(run.model) | {f"predictions/{path.name}": path for path in run.predictions.glob("*.parquet")}
        try:
            scores = json.loads(run.results.read_text(encoding="utf-8"))["test"]["scores"]
            scores["map"] + 0.0
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RecipeError(f"{run.results} has no test scores that can be read; run the training again") from None
        files |= {"results.json": run.results, "config_run.yaml": run.config}
        return files, f"{run.path.name}: test mAP {100 * scores['map']:.2f}"
    if (run.adapter / "README.md").is_file():
        files = _files_in(run.adapter) | {"config_run.yaml": run.config, "metrics.jsonl": run.metrics}
        return files, f"{run.path.name}: LoRA adapter"
    raise RecipeError(f"{run.path} does not contain a finished run; train first, then push")


def _files_in(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
