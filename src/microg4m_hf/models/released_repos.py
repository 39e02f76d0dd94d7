"""Push the authors' models as models of transformers: a repository for each, with its origin and published scores."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, HubError, ModelError
from ..extras import require
from ..hub import BENCHMARK, HAR_METRICS, eval_results, hub_client, hub_errors, model_index, with_retries
from ..safe_yaml import parse_yaml
from ..scratch import remove_abandoned, scratch_folder
from ..storage import cache_home, write_atomic
from .download import hash_file
from .hub_files import HUB_CODE_FILE, write_hub_card
from .registry import PUBLISHED, PublishedScores
from .weights import MODELS_REPO, WEIGHTS, ZOO, WeightsFile, fetch_released, load_released

PAPER = "https://openreview.net/forum?id=gygGCVXeh3"
_NAMES = dict(zip(PublishedScores._fields, HAR_METRICS, strict=True))


@dataclass(frozen=True)
class PushedModel:
    """What became of one model.

    Args:
        name: A published name of ``microg4m models list``.
        repo_id: Its repository.
        state: ``"pushed"``, ``"unchanged"`` (the repository has these files already), ``"ready"`` (a dry run) or
            ``"failed"``.
        address: The commit, or why it failed.
        size: The bytes of its files.
    """

    name: str
    repo_id: str
    state: str
    address: str = ""
    size: int = 0


def push_released(
    organization: str,
    names: Iterable[str] | None = None,
    *,
    private: bool = False,
    revision: str | None = None,
    files: Mapping[str, str] | None = None,
    dry_run: bool = False,
    token: str | None = None,
) -> list[PushedModel]:
    """Convert the authors' models and push each to its own repository, ``ORGANIZATION/NAME-microg4m``.

    The card names the file that the weights come from with its SHA-256, the published scores and the license. A model
    whose weights cannot be had is reported, and the others are pushed. What the Hub already has is not sent again, so
    the same call continues after an interruption.

    Args:
        organization: Your name on the Hub, or that of an organization you may write to.
        names: Published names of ``microg4m models list``; by default all fourteen.
        private: Make new repositories private.
        revision: Commit, tag or branch of the authors' repository.
        files: By name, the file in it, where several belong to a model.
        dry_run: Fetch and convert, and push nothing.
        token: A token of the Hub; by default the one you are logged in with.

    Returns:
        One entry per name.

    Raises:
        HubError: If the Hub refuses a push or cannot be reached.
        ModelError: If a name is not one of a published model.

    Example:
        >>> push_released("me", ["no_such_model"])
        Traceback (most recent call last):
        microg4m_hf.errors.ModelError: no_such_model is not a published model; choose among c2d_8x8_r50, ...
    """
    each = push_each(organization, names, private=private, revision=revision, files=files, dry_run=dry_run, token=token)
    return list(each)


def push_each(
    organization: str,
    names: Iterable[str] | None = None,
    *,
    private: bool = False,
    revision: str | None = None,
    files: Mapping[str, str] | None = None,
    dry_run: bool = False,
    token: str | None = None,
) -> Iterator[PushedModel]:
    """Yield each model of :func:`push_released` as soon as it is done."""
    names, files = list(PUBLISHED if names is None else names), files or {}
    unknown = [name for name in (*names, *files) if name not in PUBLISHED]
    if unknown:
        raise ModelError(f"{unknown[0]} is not a published model; choose among {', '.join(PUBLISHED)}")
    require("torch", "converting weights")  # before anything is downloaded
    api = hub_client(token)
    for name in names:
        repo_id = f"{organization}/{name}-microg4m"
        target = cache_home() / "push" / f"{name}-microg4m"
        remove_abandoned(target)
        with scratch_folder(target) as folder:
            try:
                _write_model(api, name, repo_id, folder, revision, files.get(name))
            except (CheckpointError, ModelError) as error:
                yield PushedModel(name, repo_id, "failed", str(error))
                continue
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            if dry_run:
                yield PushedModel(name, repo_id, "ready", size=size)
                continue
            commit = _push_folder(api, repo_id, folder, name, private)
            yield PushedModel(name, repo_id, "pushed" if commit else "unchanged", commit or "", size)


def _write_model(api: Any, name: str, repo_id: str, folder: Path, revision: str | None, file: str | None) -> None:
    """Write everything that the repository of a model holds."""
    found = fetch_released(name, revision=revision, file=file)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a head that is replaced would be no released model
        try:
            model: Any = load_released(name, revision=revision, file=file)
        except UserWarning as warning:
            raise CheckpointError(
                f"{found.origin} is not the whole model {name} ({warning}); download it again"
            ) from None
    model.save_pretrained(folder)
    scores = _scores(name)
    origin, repository, license_name = _origin(api, name, found)
    front_matter = {
        "license": license_name,
        "datasets": [BENCHMARK] if WEIGHTS[name].released else None,
        "model_name": f"{name} (as published)",
        "eval_results": model_index(
            scores,
            dataset_type=BENCHMARK,
            dataset_name="MicroG-4M",
            source_name="published by the authors of MicroG-4M",
            source_url=PAPER,
        ),
    }
    training = (Path(__file__).with_name("released_card.md")).read_text(encoding="utf-8")
    note = PUBLISHED[name].note
    training = training.format(
        name=name,
        who=_who(name),
        origin=origin,
        sha256=found.sha256 or hash_file(found.path),
        scores="\n".join(f"| {HAR_METRICS[key]} | {value:.2f} |" for key, value in scores.items()),
        flaw=f"\nThe published network has a flaw, with which these weights were trained: {note}.\n" if note else "",
        license=f"{repository} states the license `{license_name}`"
        if license_name
        else f"{repository} states no license; ask its authors before you pass the weights on",
    )
    write_hub_card(model, repo_id, folder / "README.md", training=training.strip(), front_matter=front_matter)
    result = {"scores": {"map": scores["map"] / 100}, "signature": "har|protocol:paper|published by the authors"}
    write_atomic(folder / ".eval_results" / "microg4m.yaml", eval_results("har", result, source_url=PAPER))


def _scores(name: str) -> dict[str, float]:
    published = PUBLISHED[name].published
    assert published is not None
    return {_NAMES[field]: value for field, value in published._asdict().items()}


def _who(name: str) -> str:
    if WEIGHTS[name].released:
        epoch = WEIGHTS[name].epochs[0]
        return f"The authors of MicroG-4M fine-tuned this network on the benchmark, and tested epoch {epoch}."
    return (
        "The authors of PySlowFast trained this network on AVA, on Earth. It was never trained on MicroG-4M: the "
        "benchmark scores it zero-shot, on the 50 of its 80 actions that are in the benchmark."
    )


def _origin(api: Any, name: str, found: WeightsFile) -> tuple[str, str, str | None]:
    """Return how a card names the file and its repository, and the license that the repository states."""
    if not WEIGHTS[name].released:
        code = "[PySlowFast](https://github.com/facebookresearch/SlowFast), whose model zoo the file is from,"
        return f"`{ZOO}{WEIGHTS[name].pretrained}`", code, "apache-2.0"
    link = f"[{MODELS_REPO}](https://huggingface.co/{MODELS_REPO})"
    # Without a digest the file is in a folder of this machine, whose path is nobody else's concern.
    file, _, commit = found.origin.partition(f" of {MODELS_REPO} at ")
    origin = f"`{file}` of {link} at `{commit}`" if commit else f"`{found.path.name}`, a copy of a file of {link}"
    return origin, link, _stated_license(api)


def _stated_license(api: Any) -> str | None:
    """Return the license in the front matter of the authors' repository."""
    with hub_errors(f"read the license of {MODELS_REPO}", error=CheckpointError):
        if not with_retries(lambda: api.file_exists(MODELS_REPO, "README.md")):
            return None
        path = Path(with_retries(lambda: api.hf_hub_download(MODELS_REPO, "README.md")))
    _, fence, rest = path.read_text(encoding="utf-8", errors="replace").partition("---\n")
    front_matter, end, _ = rest.partition("\n---")
    fields = parse_yaml(front_matter, f"README.md of {MODELS_REPO}", CheckpointError) if fence and end else {}
    stated = fields.get("license") if isinstance(fields, dict) else None
    return stated if isinstance(stated, str) else None


def _push_folder(api: Any, repo_id: str, folder: Path, name: str, private: bool) -> str | None:
    """Push what the repository does not have yet in one commit, and return its address; None if it has everything."""
    from huggingface_hub import CommitOperationAdd

    with hub_errors(f"push to {repo_id}"):
        with_retries(lambda: api.create_repo(repo_id, private=private, exist_ok=True))
        tree = with_retries(lambda: list(api.list_repo_tree(repo_id, recursive=True)))
        existing = {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in tree if hasattr(one, "blob_id")}
        if set(existing) - {".gitattributes", "README.md"} and HUB_CODE_FILE not in existing:
            raise HubError(f"{repo_id} holds something else; nothing was changed, remove it or push to another name")
        paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        changed = {at: path for at, path in paths.items() if existing.get(at) not in _digests(path)}
        if not changed:
            return None
        operations = [CommitOperationAdd(at, str(path)) for at, path in changed.items()]
        message = f"{name}, the published weights as a model of transformers"
        return str(with_retries(lambda: api.create_commit(repo_id, operations, commit_message=message)).commit_url)


def _digests(path: Path) -> tuple[str, str]:
    """Return what the Hub may know the content of a file by: the SHA-256 of a large one, or the id of a git object."""
    sha1 = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha1.update(block)
    return hash_file(path), sha1.hexdigest()
