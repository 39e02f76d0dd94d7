"""Weights by name: the authors' fine-tuned models on the Hub, and the pre-trained files that their runs began from.

Files are looked up in the folder ``MICROG4M_WEIGHTS`` first, which is laid out like the released repository (files of
the PySlowFast zoo lie anywhere in it, under their own names). Everything else is downloaded into the cache once.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import CheckpointError, ModelError, list_some
from ..hub import hub_client, hub_errors, is_unreachable, with_retries
from ..storage import cache_home, write_atomic
from .download import download, record_digest, recorded_path

if TYPE_CHECKING:
    from torch import Tensor

    from .modeling import MicroG4MHarForVideoClassification

MODELS_REPO = "LEI-QI-233/MicroG-4M-models"
ZOO = "https://dl.fbaipublicfiles.com/pyslowfast/"
_SUFFIXES = (".pyth", ".pt", ".pkl")
_KINETICS = "model_zoo/kinetics400"


@dataclass(frozen=True)
class NamedWeights:
    """The files of a model.

    Args:
        released: How the authors name their fine-tuned model.
        epochs: The epochs that they tested, the one of the published row first.
        pretrained: The file under :data:`ZOO` that the published run began from.
        reason: Why there is no such file to download.
    """

    released: tuple[str, ...] = ()
    epochs: tuple[int, ...] = ()
    pretrained: str | None = None
    reason: str = ""


WEIGHTS: dict[str, NamedWeights] = {
    # A Slow network: nine convolutions of C2D do not fit and stay random, as in the published run.
    "c2d_8x8_r50": NamedWeights(("C2D_8x8_R50",), (35,), "model_zoo/ava/pretrain/C2D_8x8_R50.pkl"),
    "c2d_nln_8x8_r50": NamedWeights(
        ("C2D_NLN_8x8_R50", "C2D_8x8_R50_NLN"), (30,), reason="it is not known which C2D file the published run took"
    ),
    "i3d_8x8_r50": NamedWeights(("I3D_8x8_R50",), (30,), f"{_KINETICS}/I3D_8x8_R50.pkl"),
    "i3d_nln_8x8_r50": NamedWeights(("I3D_NLN_8x8_R50", "I3D_8x8_R50_NLN"), (40,), f"{_KINETICS}/I3D_NLN_8x8_R50.pkl"),
    "slow_4x16_r50": NamedWeights(("SLOWONLY_4x16_R50",), (25,), f"{_KINETICS}/SLOWONLY_4x16_R50.pkl"),
    "slow_8x8_r50": NamedWeights(("SLOWONLY_8x8_R50",), (40,), f"{_KINETICS}/SLOWONLY_8x8_R50.pkl"),
    "slowfast_4x16_r50": NamedWeights(("SLOWFAST_4x16_R50",), (30,), f"{_KINETICS}/SLOWFAST_4x16_R50.pkl"),
    "slowfast_8x8_r50": NamedWeights(("SLOWFAST_8x8_R50",), (20,), f"{_KINETICS}/SLOWFAST_8x8_R50.pkl"),
    "mvitv1_b_16x4": NamedWeights(
        ("MVIT_B_16x4",), (50,), reason="the published run took a file with pytorchvideo's names from Google Drive"
    ),
    "mvitv2_s_16x4": NamedWeights(
        ("MVITv2_S_16x4",), (40, 25), "model_zoo/mvitv2/pysf_video_models/MViTv2_S_16x4_k400_f302660347.pyth"
    ),
    "x3d_s": NamedWeights(("X3D_S",), (35,), "x3d_models/x3d_s.pyth"),
    "x3d_l": NamedWeights(("X3D_L",), (30,), "x3d_models/x3d_l.pyth"),
    "slow_8x8_r50_ava": NamedWeights(pretrained="model_zoo/ava/C2D_8x8_R50.pkl"),
    "slowfast_32x2_r101_ava": NamedWeights(pretrained="model_zoo/ava/SLOWFAST_32x2_R101_50_50.pkl"),
}


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights on this machine, and where it comes from."""

    path: Path
    origin: str
    sha256: str = field(default="", repr=False)
    name: str = ""  # its path in the authors' repository


def load_released(
    name: str, *, revision: str | None = None, file: str | None = None
) -> MicroG4MHarForVideoClassification:
    """Return the authors' fine-tuned model, in eval mode.

    Args:
        name: A published name of ``microg4m models list``. The two zero-shot models are those of the zoo.
        revision: Commit, tag or branch of the authors' repository.
        file: The file in it, if the rule of :func:`find_released` finds none or several.

    Raises:
        CheckpointError: The file is not found, cannot be downloaded or does not fit.

    Example:
        >>> model = load_released("i3d_nln_8x8_r50")  # doctest: +SKIP
    """
    from .pyslowfast import load_pyslowfast

    return load_pyslowfast(name, released_state(name, revision=revision, file=file))


def released_state(name: str, *, revision: str | None = None, file: str | None = None) -> dict[str, Tensor]:
    """Return the state dict of the authors' fine-tuned model; see :func:`load_released`."""
    return state_for(name, fetch_released(name, revision=revision, file=file))


def state_for(name: str, file: WeightsFile) -> dict[str, Tensor]:
    """Return the state dict of a file that must be a model with the classes of ``name``.

    Args:
        name: A name of ``microg4m models list``.
        file: The file, from :func:`fetch_released` or of your own.

    Raises:
        CheckpointError: The file cannot be read, or has a head for another number of classes.
    """
    from .registry import VARIANTS

    state = _read_once(file)
    classes = len(state.get("head.projection.weight", ()))
    if classes != VARIANTS[name].num_labels:
        raise CheckpointError(
            f"{file.origin} has {classes} classes and {name} has {VARIANTS[name].num_labels}; it is another model, "
            "choose the file with file=, on the command line --file"
        )
    return state


def pretrained_state(name: str) -> dict[str, Tensor]:
    """Return the state dict of the pre-trained file of a model; see :func:`load_pretrained`."""
    return _read_once(fetch_pretrained(name))


def zoo_state(file: str) -> dict[str, Tensor]:
    """Return the state dict of a file of the PySlowFast zoo, by its path under :data:`ZOO`."""
    return _read_once(fetch_zoo(file))


def load_pretrained(name: str, **settings: Any) -> MicroG4MHarForVideoClassification:
    """Return a model with the pre-trained weights that the published run began from, and a new head.

    Args:
        name: A name of ``microg4m models list``.
        settings: As for :func:`load_pyslowfast`; ``partial=True`` initializes what the file does not have.

    Raises:
        CheckpointError: There is no such file, or it cannot be downloaded or does not fit.

    Example:
        >>> model = load_pretrained("x3d_s")  # doctest: +SKIP
    """
    from .pyslowfast import load_pyslowfast

    return load_pyslowfast(name, pretrained_state(name), **settings)


def fetch_released(name: str, *, revision: str | None = None, file: str | None = None) -> WeightsFile:
    """Return the file of the authors' fine-tuned model, from ``MICROG4M_WEIGHTS``, the cache or the Hub."""
    if name.endswith("_corrected"):  # weights of a published network in a corrected one are neither
        published = name.removesuffix("_corrected")
        raise ModelError(f"the authors released no weights of {name}; use {published}, the network that they trained")
    weights = _named(name)
    if not weights.released:
        return fetch_pretrained(name)  # the published row is this file, without fine-tuning
    local = _local_folder()
    if local is not None:
        names = [path.relative_to(local).as_posix() for path in _files(local)]
        candidates = [one for one in names if not _is_zoo_file(one)]
        if file is not None or _candidates(name, candidates):
            found = _chosen(file, names, str(local)) if file else find_released(name, candidates, str(local))
            return WeightsFile(local / found, f"{found} in {local}", name=found)
    by_hand = _by_hand(f"a file of {MODELS_REPO}")
    with hub_errors(f"download the weights of {name} ({by_hand})", error=CheckpointError):
        sha, names = _list_repository(revision)
        at = f"{MODELS_REPO} at {sha[:12]}"
        found = _chosen(file, names, at) if file else find_released(name, names, at)
        # huggingface_hub continues an interrupted download, and of several processes one downloads.
        path = Path(with_retries(lambda: hub_client().hf_hub_download(MODELS_REPO, found, revision=sha)))
    return WeightsFile(path, f"{found} of {at}", record_digest(path, f"{MODELS_REPO}@{sha}/{found}"), found)


def _list_repository(revision: str | None) -> tuple[str, list[str]]:
    """Return commit and files of the authors' repository, as seen last if the Hub cannot be reached."""
    memory = cache_home() / "weights" / "listings" / f"{quote(revision or 'main', safe='')}.json"
    try:
        info = with_retries(lambda: hub_client().model_info(MODELS_REPO, revision=revision))
    except Exception as error:
        if not (is_unreachable(error) and memory.is_file()):
            raise
        known = json.loads(memory.read_text(encoding="utf-8"))
        return str(known["sha"]), list(map(str, known["files"]))
    names = [one.rfilename for one in info.siblings or []]
    write_atomic(memory, json.dumps({"sha": info.sha, "files": names}))
    return str(info.sha), names


def fetch_pretrained(name: str) -> WeightsFile:
    """Return the pre-trained file of a model, from ``MICROG4M_WEIGHTS``, the cache or the PySlowFast zoo."""
    weights = _named(name)
    if weights.pretrained is None:
        raise CheckpointError(
            f"there is no pre-trained file to download for {name}: {weights.reason}; set model.init to a file of yours"
        )
    return fetch_zoo(weights.pretrained)


def fetch_zoo(file: str) -> WeightsFile:
    """Return a file of the PySlowFast zoo.

    Args:
        file: Its path under :data:`ZOO`.
    """
    local = _local_folder()
    if local is not None and (found := _find_zoo_file(local, file)) is not None:
        return WeightsFile(found, str(found))
    if any(part in ("", ".", "..") for part in file.split("/")) or "\\" in file or ":" in file:
        raise CheckpointError(f"{file!r} is not a path under {ZOO}; give one such as kinetics400/I3D_8x8_R50.pyth")
    path = cache_home() / "weights" / "zoo" / file
    url = _zoo_address(file)
    return WeightsFile(path, url, download(url, path, _by_hand(PurePosixPath(file).name)))


def _zoo_address(file: str) -> str:
    return f"{(os.environ.get('MICROG4M_ZOO') or ZOO).rstrip('/')}/{file}"


def local_file(name: str, *, pretrained: bool = False, file: str | None = None) -> Path | None:
    """Return the file of a model on this machine, without a network.

    Args:
        name: A name of ``microg4m weights list``.
        pretrained: The file that the published run began from, instead of the authors' fine-tuned model.
        file: The fine-tuned file by its path in the repository, if several belong to the model.

    Raises:
        CheckpointError: Several files match.
    """
    found = local_files(name, pretrained=pretrained, file=file)
    if len(found) > 1:
        is_zoo = pretrained or not _named(name).released
        advice = "keep one of them" if is_zoo else "choose one with file="
        raise CheckpointError(f"this machine has {len(found)} files of {name} ({list_some(found, 20)}); {advice}")
    return next(iter(found.values()), None)


def local_files(name: str, *, pretrained: bool = False, file: str | None = None) -> dict[str, Path]:
    """Return the files on this machine among which :func:`local_file` chooses, by their paths in the repository.

    Args:
        name: A name of ``microg4m weights list``.
        pretrained: As for :func:`local_file`.
        file: As for :func:`local_file`.
    """
    weights, local = _named(name), _local_folder()
    if pretrained or not weights.released:
        if weights.pretrained is None:
            return {}
        found = _zoo_files(local, weights.pretrained) if local else []
        if not found and (recorded := recorded_path(_zoo_address(weights.pretrained))):
            found = [recorded]
        return {str(path): path for path in found}

    def choose(files: Iterable[str]) -> list[str]:
        return [one for one in files if one == file] if file else _tested(name, files)

    if local is not None:
        names = [path.relative_to(local).as_posix() for path in _files(local)]
        if chosen := choose(names if file else [one for one in names if not _is_zoo_file(one)]):
            return {one: local / one for one in chosen}
    memories = (cache_home() / "weights" / "listings").glob("*.json")
    for memory in sorted(memories, key=lambda path: (path.name != "main.json", path.name)):
        known = json.loads(memory.read_text(encoding="utf-8"))
        recorded_paths = {one: recorded_path(f"{MODELS_REPO}@{known['sha']}/{one}") for one in choose(known["files"])}
        if here := {one: path for one, path in recorded_paths.items() if path}:
            return here
    return {}


def find_released(name: str, files: Iterable[str], where: str = "the repository") -> str:
    """Return the file of a model among the files of a repository.

    The file, or else its folder, has the released name of the model, whatever the case and without ``-``, ``_`` and
    ``.``; ``best`` and an epoch may follow. Of several epochs, the tested one is taken.

    Args:
        name: A published name.
        files: Paths in the repository.
        where: How error messages name the repository.

    Raises:
        CheckpointError: No file or several files match.

    Example:
        >>> find_released("i3d_8x8_r50", ["I3D_8x8_R50_NLN/best.pyth", "i3d-8x8-r50/checkpoint_epoch_00030.pyth"])
        'i3d-8x8-r50/checkpoint_epoch_00030.pyth'
    """
    files = [file for file in files if file.lower().endswith(_SUFFIXES)]
    found = _tested(name, files)
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} files of {name}" if found else f"no file of {name}"
    listed = list_some(sorted(found or files), 20) or "no checkpoint at all"
    raise CheckpointError(f"{where} has {problem} ({listed}); choose one with file=, on the command line --file")


def _tested(name: str, files: Iterable[str]) -> list[str]:
    """Return the checkpoints that belong to a model; of several epochs, those of the tested one."""
    found = _candidates(name, (file for file in files if file.lower().endswith(_SUFFIXES)))
    for epoch in _named(name).epochs:
        if tested := [file for file, its_epoch in found.items() if its_epoch == epoch]:
            return tested
    return list(found)


def _candidates(name: str, files: Iterable[str]) -> dict[str, int | None]:
    """Return the files that belong to a model, with the epoch in their names."""
    found: dict[str, int | None] = {}
    for file in files:
        path = PurePosixPath(file)
        parts = [*path.parts[:-1], path.stem]
        # The deepest part that names a model decides: a folder may hold files of several models.
        for place in reversed(range(len(parts))):
            owners = [model for model in WEIGHTS if _match(parts[place], model)]
            if owners:
                if name in owners:
                    found[file] = _epoch(parts[place:])
                break
    return found


_EXTRA = r"(?:checkpoint|ckpt|model|weights|finetuned|best|last|final|epoch|ep|e|\d)*"


def _match(part: str, name: str) -> bool:
    text = _normalize(part)
    return any(re.fullmatch(_EXTRA + _normalize(released) + _EXTRA, text) for released in WEIGHTS[name].released)


def _normalize(text: str) -> str:
    return re.sub(r"[-_. ]", "", text).lower()


def _epoch(parts: Sequence[str]) -> int | None:
    """Return the epoch in the deepest part that has one."""
    for part in reversed(parts):
        match = re.search(r"(?:epoch|ep|e)[-_. ]*0*(\d+)", part, re.IGNORECASE) or re.search(r"[-_.](\d+)$", part)
        if match:
            return int(match[1])
    return None


def epoch_of(name: str, file: str) -> int | None:
    """Return the epoch in the name of a file of a fine-tuned model, or of its folders.

    Args:
        name: A published name.
        file: The path of the file in the repository.

    Example:
        >>> epoch_of("i3d_8x8_r50", "I3D_8x8_R50/checkpoint_epoch_00030.pyth"), epoch_of("x3d_s", "X3D_S.pyth")
        (30, None)
    """
    return _candidates(name, [file]).get(file)


def model_named(text: str) -> str | None:
    """Return the published model that a word names: by its own name, or by the one that the authors gave it.

    Args:
        text: A name, or the name of a file or folder without its suffix.

    Example:
        >>> model_named("x3d_s"), model_named("MVIT_B_16x4"), model_named("I3D-8x8-R50_best"), model_named("mine")
        ('x3d_s', 'mvitv1_b_16x4', 'i3d_8x8_r50', None)
    """
    if text in WEIGHTS:
        return text
    return next((name for name in WEIGHTS if _match(text, name)), None)


def _chosen(file: str, names: Sequence[str], where: str) -> str:
    if file not in names:
        raise CheckpointError(f"{where} has no file {file!r}; it has {list_some(sorted(names), 20)}")
    return file


def _named(name: str) -> NamedWeights:
    from .registry import VARIANTS

    weights = WEIGHTS.get(name.removesuffix("_corrected"))
    if weights is None:
        kind = "has no weights to download" if name in VARIANTS else "is not a model"
        raise ModelError(f"{name} {kind}; choose among {', '.join(WEIGHTS)}")
    return weights


def _local_folder() -> Path | None:
    value = os.environ.get("MICROG4M_WEIGHTS")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise CheckpointError(f"MICROG4M_WEIGHTS is {value!r}, which is not a folder; unset it or create the folder")
    return folder


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())


def _is_zoo_file(name: str) -> bool:
    """Whether a file has a name of the zoo and does not lie in the folder of a fine-tuned model."""
    path = PurePosixPath(name)
    in_model_folder = any(_match(part, model) for part in path.parts[:-1] for model in WEIGHTS)
    zoo = {PurePosixPath(one.pretrained).name for one in WEIGHTS.values() if one.pretrained}
    return path.name in zoo and not in_model_folder


def _find_zoo_file(folder: Path, file: str) -> Path | None:
    """Return the file of the zoo with the longest common path end."""
    found = _zoo_files(folder, file)
    if len(found) > 1:
        name = PurePosixPath(file).name
        raise CheckpointError(f"{folder} has several files {name}: {list_some(map(str, found), 5)}; keep one")
    return found[0] if found else None


def _zoo_files(folder: Path, file: str) -> list[Path]:
    """Return the files of the zoo with the longest common path end: more than one only if they share it."""
    wanted = PurePosixPath(file).parts
    paths = [path for path in _files(folder) if path.name == wanted[-1]]
    places = {path: path.relative_to(folder) for path in paths}
    paths = [path for path in paths if _is_zoo_file(places[path].as_posix())]
    for count in range(len(wanted), 0, -1):
        found = [path for path in paths if places[path].parts[-count:] == wanted[-count:]]
        if count == 1:
            found = [path for path in found if _has_classes(path, file)]
        if found:
            return found
    return []


def _has_classes(path: Path, file: str) -> bool:
    """Whether a file that is known by its base name only is not the other file of that name, of other classes."""
    same_name = {one.pretrained for one in WEIGHTS.values() if (one.pretrained or "").endswith(f"/{path.name}")}
    if len(same_name) < 2:
        return True
    from .checkpoint_reader import read_checkpoint

    is_ava = len(read_checkpoint(path).get("head.projection.weight", ())) == 80
    return is_ava == ("/ava/" in file and "/pretrain/" not in file)


def _by_hand(file: str) -> str:
    return f"put {file} into a folder and set MICROG4M_WEIGHTS to it, which needs no network"


def _read_once(file: WeightsFile) -> dict[str, Tensor]:
    """Read a checkpoint. A downloaded one is converted to safetensors, without the optimizer and without pickles."""
    from safetensors.torch import save

    from .checkpoint_reader import read_checkpoint

    target = cache_home() / "weights" / "converted" / f"{file.sha256}.safetensors"
    if file.sha256 and target.is_file():
        return read_checkpoint(target)
    state = read_checkpoint(file.path)
    if file.sha256:
        write_atomic(target, save({key: value.contiguous().clone() for key, value in state.items()}))
    return state
