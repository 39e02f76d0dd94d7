"""What a user points at, found out: run folders and prediction files, with what each says of itself."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import MicroG4MError, PredictionError
from ..metrics.har.files import read_about

# What a prediction file holds: actions, captions or answers.

FILE_KINDS = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson")
_HINTS = {"caption", "answer", "qa_pairs", "question", "Q", "prediction", "boxes", "scores"}


def task_of_file(path: Path) -> str:
    """Whether a prediction file holds actions, captions or answers, from its first entries.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "p.json"
    >>> _ = file.write_text('{"film_001": "A crew eats."}')
    >>> task_of_file(file)
    'caption'
    """
    suffix = path.suffix.lower()
    if suffix not in FILE_KINDS:
        raise PredictionError(f"{path.name}: predictions come as {', '.join(FILE_KINDS)}")
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return _task_of_names(pq.read_schema(path).names, path)
        except (pa.ArrowException, OSError) as error:
            raise PredictionError(f"{path.name} is not Parquet: {' '.join(str(error).split())[:100]}") from None
    if suffix in (".csv", ".tsv"):
        return _task_of_csv(path)
    return _task_of_json(path)


def _task_of_csv(path: Path) -> str:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        fields = next(csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ","), [])
    try:
        if len(fields) == 8 and [float(field) for field in fields[2:]]:
            return "har"  # the released form has no header
    except ValueError:
        pass
    return _task_of_names([field.strip() for field in fields], path)


def _task_of_json(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
        value = json.loads(text.split("\n", 1)[0] if path.suffix != ".json" else text)
    except (ValueError, RecursionError):
        raise PredictionError(f"{path.name} is no readable JSON; was it cut off?") from None
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(value, dict) and "video_id" not in value and value:
        first = next(iter(value.values()))
        if isinstance(first, str):
            return "caption"
        if isinstance(first, dict) and not set(first) & _HINTS:
            return "vqa"  # {video_id: {question: answer}}
        first = first[0] if isinstance(first, list) and first else first
    if not isinstance(first, dict):
        raise PredictionError(f"{path.name} holds no predictions; say which task with --task")
    return _task_of_names(list(first), path)


def _task_of_names(names: list[str], path: Path) -> str:
    has = set(names)
    if has & {"scores", "score"} and has & {"frame", "frame_stamp", "timestamp", "boxes", "box", "x1"}:
        return "har"
    questions = has & {"question", "Q", "qa_pairs"}
    if questions:
        return "vqa"
    if has & {"caption", "prediction"}:
        return "caption"
    raise PredictionError(f"{path.name}: cannot tell actions, captions and answers apart by {names[:8]}; say --task")


@dataclass
class System:
    """One thing to be scored. ``problem`` says why it cannot be; ``notes`` what a reader of its score must know."""

    name: str
    path: Path
    task: str | None = None
    predictions: Path | None = None
    about: dict[str, Any] = field(default_factory=dict)  # model, recipe, frames, scheme, prompts, …
    data: dict[str, Any] = field(default_factory=dict)  # data_dir, source, revision as the run names them
    scheme: str | None = None
    split: str = "test"
    claimed: dict[str, float] = field(default_factory=dict)  # scores that the run itself wrote down
    notes: list[str] = field(default_factory=list)
    problem: str | None = None

    @property
    def frames(self) -> int | None:
        """How many frames of a clip the model saw, if the run says so."""
        said = str(self.about.get("frames", "")).partition("x")[0]
        return int(said) if said.isdigit() else None


def find_systems(words: Iterable[str | os.PathLike[str]], *, task: str | None = None) -> list[System]:
    """A system for every file and run folder; ``NAME=PATH`` names one; a folder of runs stands for all of them.

    Nothing is left out: what cannot be used comes back with a ``problem``.
    """
    found: list[System] = []
    for word in words:
        name, path = _named(os.fspath(word))
        for place in _places(path):
            system = System(name or _short_name(place), place)
            try:
                _inspect(system, task)
            except (MicroG4MError, OSError, ValueError) as error:
                system.problem = system.problem or " ".join(str(error).split())
            found.append(system)
    if not found:
        raise PredictionError("nothing to report on; name run folders or prediction files")
    _tell_apart(found)
    return found


def _named(word: str) -> tuple[str | None, Path]:
    name, equals, rest = word.partition("=")
    if equals and name and rest and not Path(word).exists():
        return name, Path(rest)
    return None, Path(word)


def _places(path: Path) -> list[Path]:
    if not path.is_dir() or _is_run(path):
        return [path]
    inner = sorted(child for child in path.iterdir() if child.is_dir() and _is_run(child))
    return inner or [path]


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() or (folder / "settings.json").is_file()


def _short_name(path: Path) -> str:
    return path.name if path.is_dir() or path.suffix not in FILE_KINDS else path.stem


def _inspect(system: System, task: str | None) -> None:
    path = system.path
    if (path / "settings.json").is_file():
        _text_run(system)
    elif (path / "config.yaml").is_file():
        _training_run(system)
    elif path.is_dir():
        held = sorted(child.name for child in path.iterdir())[:5]
        raise PredictionError(
            f"{path} is no run folder (no config.yaml, no settings.json); it holds {held or 'nothing'}"
        )
    elif not path.exists():
        raise PredictionError(f"there is no {path}")
    else:
        system.predictions, system.about = path, read_about(path)
        system.task = task or task_of_file(path)
        system.scheme = system.about.get("scheme")
        system.split = str(system.about.get("split", "test"))


def _training_run(system: System) -> None:
    import yaml

    system.task = "har"
    folder = system.path
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PredictionError(f"config.yaml is no readable YAML: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(config, dict):
        raise PredictionError("config.yaml holds no recipe")
    data, model = (_section(config, name) for name in ("data", "model"))
    system.data = {key: data[key] for key in ("data_dir", "source", "revision") if data.get(key)}
    system.scheme = data.get("scheme", "official")
    system.about = {
        "model": model.get("name"),
        "recipe": config.get("name"),
        "variant": config.get("variant"),
        "frames": f"{data.get('num_frames', '?')}x{data.get('stride', '?')}",
    }
    _recipe_digest(system, config)
    summary = _json(folder / "results.json", system, "the run is not finished")
    scores = summary.get("test", {}).get("scores", {}) if isinstance(summary.get("test"), dict) else {}
    system.claimed = {key: float(value) for key, value in scores.items() if isinstance(value, (int, float))}
    if summary.get("skipped_clips"):
        system.notes.append(f"{summary['skipped_clips']} unreadable clips were left out in training")
    predictions = folder / "predictions" / "test.parquet"
    if not predictions.is_file():
        others = sorted(file.name for file in (folder / "predictions").glob("*")) if predictions.parent.is_dir() else []
        held = f"; predictions/ holds {others}" if others else ""
        said = f"; results.json says mAP {100 * system.claimed['map']:.2f}" if "map" in system.claimed else ""
        raise PredictionError(f"predictions/test.parquet is missing, so nothing can be scored{held}{said}")
    system.predictions = predictions
    system.about |= {key: value for key, value in read_about(predictions).items() if key not in system.about}


def _recipe_digest(system: System, config: dict[str, Any]) -> None:
    """What two runs must share to be "the same recipe": everything but data place, scheme and practical settings."""
    from ..training.recipe import PRACTICAL

    free = PRACTICAL | {"data.scheme", "variant"}
    system.about["settings"] = {key: value for key, value in sorted(_flat(config).items()) if key not in free}


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _text_run(system: System) -> None:
    folder = system.path
    settings = _json(folder / "settings.json", system, "the run does not say how it was made")
    system.task = settings.get("task") if settings.get("task") in ("caption", "vqa") else None
    wanted = ("model", "revision", "runner", "frames", "pick", "prompts", "max_new_tokens", "temperature")
    system.about = {key: settings[key] for key in wanted if settings.get(key) is not None}
    if settings.get("runner") in ("blind", "majority"):
        system.about.pop("frames", None)  # they look at nothing
    if system.task is None:
        raise PredictionError(f"settings.json names no task caption or vqa but {settings.get('task')!r}")
    summary = _json(folder / "results.json", system, "the run is not finished")
    for word in ("failed", "missing"):
        if summary.get(word):
            system.notes.append(f"{summary[word]} items {word} in the run")
    if summary.get("cost") is not None:
        system.about["cost"] = summary["cost"]
    predictions = folder / "predictions.jsonl"
    if not predictions.is_file():
        raise PredictionError("predictions.jsonl is missing, so nothing can be scored")
    system.predictions = predictions


def _json(path: Path, system: System, absent: str) -> dict[str, Any]:
    """A small JSON file of a run; what is wrong with it becomes a note."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        system.notes.append(f"no {path.name}: {absent}")
        return {}
    except (ValueError, RecursionError):
        system.notes.append(f"{path.name} is no readable JSON")
        return {}
    if not isinstance(value, dict):
        system.notes.append(f"{path.name} holds no object")
        return {}
    return value


def _tell_apart(systems: list[System]) -> None:
    """Give equal names their folder, then a number."""
    for with_number in (False, True):
        names = [system.name for system in systems]
        for number, system in enumerate(systems, start=1):
            if names.count(system.name) > 1:
                folder = system.path.resolve().parent.name
                system.name = f"{system.name} ({number})" if with_number else f"{folder}/{system.name}"
