"""Find runs: detect what a path is, a run folder or a prediction file, and read what it contains."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.run_data import RunData
from ..errors import MicroG4MError, PredictionError
from ..inference.items import BASELINES
from ..metrics.har.files import read_about
from .render.formatting import BASELINE_NOTE, unique_slugs

FILE_KINDS = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson")
_ENTRY_KEYS = {"caption", "answer", "qa_pairs", "question", "Q", "prediction", "boxes", "scores"}
_ABOUT_KEYS = ("model", "revision", "runner", "frames", "pick", "prompts", "max_new_tokens", "temperature")


@dataclass
class RunInfo:
    """A run folder or a prediction file, with what it records about itself."""

    name: str
    path: Path
    file_name: str = ""  # a part of file names that no other run has
    task: str | None = None
    predictions: Path | None = None
    about: dict[str, Any] = field(default_factory=dict)  # model, recipe, frames, scheme, prompts, …
    data: dict[str, Any] = field(default_factory=dict)  # data_dir, source and revision that the run was made with
    scheme: str | None = None
    split: str | None = None  # None: the run does not record it
    asked: RunData | None = None  # what the run was asked; runs of earlier versions do not record it
    is_baseline: bool = False  # it answers from the references of other films, without looking at a clip
    recorded_scores: dict[str, float] = field(default_factory=dict)  # from the run's own results.json
    notes: list[str] = field(default_factory=list)  # what a reader of the scores must know
    problem: str | None = None  # why the run cannot be scored

    @property
    def frames(self) -> int | None:
        """The number of frames of a clip that the model saw, if the run records it."""
        frames = str(self.about.get("frames", "")).partition("x")[0]
        return int(frames) if frames.isdigit() else None


def find_runs(paths: Iterable[str | os.PathLike[str]], *, task: str | None = None) -> list[RunInfo]:
    """Return a run for every run folder and prediction file; a run that cannot be used has a ``problem``.

    A folder of run folders stands for all of them, and ``NAME=PATH`` names a run. ``task`` is the task of files whose
    entries do not show it.
    """
    runs: list[RunInfo] = []
    for text in paths:
        name, path = _split_name(os.fspath(text))
        for place in _expand(path):
            is_file_name = not place.is_dir() and place.suffix in FILE_KINDS
            run = RunInfo(name or (place.stem if is_file_name else place.name), place)
            try:
                _inspect(run, task)
            except (MicroG4MError, OSError, ValueError, RecursionError) as error:
                run.problem = run.problem or " ".join(str(error).split())
            runs.append(run)
    if not runs:
        raise PredictionError("there are no runs to read; name run folders or prediction files")
    _make_names_unique(runs)
    for run, name in zip(runs, unique_slugs(run.name for run in runs), strict=True):
        run.file_name = name
    return runs


def _split_name(text: str) -> tuple[str | None, Path]:
    name, equals, rest = text.partition("=")
    if equals and name and rest and not Path(text).exists():
        return name, Path(rest)
    return None, Path(text)


def _expand(path: Path) -> list[Path]:
    """Return the run folders inside a folder of runs, or the path itself."""
    if not path.is_dir() or _is_run_folder(path):
        return [path]
    return sorted(child for child in path.iterdir() if child.is_dir() and _is_run_folder(child)) or [path]


def _is_run_folder(folder: Path) -> bool:
    named = (folder / name for name in ("config.yaml", "settings.json"))
    return any(file.is_file() for file in named) or bool(_released_detections(folder))


def _released_detections(folder: Path) -> list[tuple[str, Path]]:
    """Return the splits and files of a folder of the authors' evaluation results, ``detections_test.csv`` and such."""
    names = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
    files = ((split, folder / f"detections_{name}.csv") for name, split in names.items())
    return [(split, file) for split, file in files if file.is_file()]


def _inspect(run: RunInfo, task: str | None) -> None:
    path = run.path
    if (path / "settings.json").is_file():
        _read_text_run(run)
    elif (path / "config.yaml").is_file():
        _read_training_run(run)
    elif path.is_dir() and (released := _released_detections(path)):
        if len(released) > 1:
            raise PredictionError(f"{path} holds detections of {[name for name, _ in released]}; name one of the files")
        run.task, (run.split, run.predictions) = "har", released[0]
        run.recorded_scores = _reported_scores(path / "reported.json")
    elif path.is_dir():
        content = sorted(child.name for child in path.iterdir())[:5]
        raise PredictionError(
            f"{path} is not a run folder (no config.yaml, settings.json or detections_test.csv; it contains "
            f"{content or 'nothing'}); give a run folder or a prediction file"
        )
    elif not path.exists():
        raise PredictionError(f"{path} does not exist; check the path")
    else:
        run.predictions = path
        run.task = task or task_of_file(path)
        _read_about(run)
        if path.name == "predictions.jsonl" and (path.parent / "settings.json").is_file():  # of a run folder
            whole = RunInfo(run.name, path.parent)
            _read_text_run(whole)
            if whole.task == run.task:
                run.asked, run.data, run.scheme, run.split = whole.asked, whole.data, whole.scheme, whole.split
                run.is_baseline, run.about = whole.is_baseline, whole.about


def _reported_scores(path: Path) -> dict[str, float]:
    """Return the scores in a line of the authors' log, ``json_stats: {…}``; empty where there is none."""
    names = {"map": "map", "f1_macro": "f1", "recall_macro": "recall", "auroc_macro": "auroc"}
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except (OSError, ValueError, RecursionError):
        return {}
    numbers = value.items() if isinstance(value, dict) else ()
    return {names[key]: float(one) for key, one in numbers if key in names and isinstance(one, int | float)}


def _read_about(run: RunInfo) -> None:
    """Take what the file of predictions records about itself, unless the run has said it already."""
    assert run.predictions is not None
    about = read_about(run.predictions)
    if "data" in about:
        _record(run, RunData.from_dict(about.pop("data"), run.predictions.name))
    run.scheme = run.scheme or _text(about.get("scheme"))
    run.split = run.split or _text(about.get("split"))
    run.about |= {key: value for key, value in about.items() if key not in run.about}


def _record(run: RunInfo, asked: RunData) -> None:
    run.asked, run.scheme, run.split = asked, asked.scheme, asked.split
    run.data = {name: value for name, value in asked.location.items() if value is not None}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_training_run(run: RunInfo) -> None:
    from ..safe_yaml import read_yaml
    from ..training.recipe import PRACTICAL, RENAMED
    from ..training.recipe_io import flatten

    run.task = "har"
    folder = run.path
    config = read_yaml(folder / "config.yaml", PredictionError)
    if not isinstance(config, dict):
        raise PredictionError("config.yaml contains no recipe; restore it, or give the file of predictions instead")
    data, model = (part if isinstance(part := config.get(key), dict) else {} for key in ("data", "model"))
    run.data = {key: data[key] for key in ("data_dir", "source", "revision") if _text(data.get(key))}
    run.scheme = _text(data.get("scheme", "official"))
    if run.scheme is None:
        raise PredictionError(
            f"data.scheme in config.yaml is {data['scheme']!r}, not a split scheme; write official or source_disjoint"
        )
    # Two runs have the same recipe when everything but the scheme, the place of the data and practical settings agrees.
    ignored = PRACTICAL | {"data.scheme", "variant"}
    run.about = {
        "model": model.get("name"),
        "recipe": config.get("name"),
        "variant": config.get("variant"),
        "frames": f"{data.get('num_frames', '?')}x{data.get('stride', '?')}",
        "settings": {
            RENAMED.get(key, key): value for key, value in sorted(flatten(config).items()) if key not in ignored
        },
    }
    results = _read_json(folder / "results.json", run, "the run is not finished")
    test = results.get("test")
    scores = test.get("scores") if isinstance(test, dict) else None
    if isinstance(scores, dict):
        run.recorded_scores = {key: float(value) for key, value in scores.items() if isinstance(value, (int, float))}
    elif test is not None:
        run.notes.append("the test scores in results.json cannot be read")
    if results.get("skipped_clips"):
        run.notes.append(f"{results['skipped_clips']} unreadable clips were skipped in training")
    predictions = folder / "predictions" / "test.parquet"
    if not predictions.is_file():
        others = sorted(file.name for file in (folder / "predictions").glob("*")) if predictions.parent.is_dir() else []
        content = f"; predictions/ contains {others}" if others else ""
        if "map" in run.recorded_scores:
            content += f"; results.json records mAP {100 * run.recorded_scores['map']:.2f}"
        raise PredictionError(
            f"predictions/test.parquet is missing, so the run cannot be scored{content}; predict with "
            f"`microg4m predict har --model {folder}`, and give that file"
        )
    run.predictions, run.split = predictions, "test"
    _read_about(run)


def _read_text_run(run: RunInfo) -> None:
    folder = run.path
    settings = _read_json(folder / "settings.json", run, "the settings of the run are unknown")
    run.task = settings.get("task") if settings.get("task") in ("caption", "vqa") else None
    run.about = {key: settings[key] for key in _ABOUT_KEYS if settings.get(key) is not None}
    run.is_baseline = settings.get("runner") in BASELINES
    if run.is_baseline:
        run.notes.append(BASELINE_NOTE)
        run.about.pop("frames", None)  # these baselines read no frames
    asked = RunData.read(folder)
    if asked is not None:
        _record(run, asked)
    if run.task is None:
        raise PredictionError(f"the task in settings.json is {settings.get('task')!r}; write caption or vqa")
    results = _read_json(folder / "results.json", run, "the run is not finished")
    run.notes += [f"{results[word]} items {word} in the run" for word in ("failed", "missing") if results.get(word)]
    if results.get("cost") is not None:
        run.about["cost"] = results["cost"]
    predictions = folder / "predictions.jsonl"
    if not predictions.is_file():
        raise PredictionError(
            "predictions.jsonl is missing; run the same `microg4m predict` command again, which writes it"
        )
    run.predictions = predictions


def _read_json(path: Path, run: RunInfo, meaning_if_absent: str) -> dict[str, Any]:
    """Read a small JSON file of a run; a file that is absent or broken becomes a note."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        run.notes.append(f"no {path.name}: {meaning_if_absent}")
    except (ValueError, RecursionError):
        run.notes.append(f"{path.name} is not valid JSON")
    else:
        if isinstance(value, dict):
            return value
        run.notes.append(f"{path.name} does not contain a JSON object")
    return {}


def _make_names_unique(runs: list[RunInfo]) -> None:
    """Put the parent folder before equal names, and a number behind those that are still equal."""
    for with_number in (False, True):
        names = [run.name for run in runs]
        for number, run in enumerate(runs, start=1):
            if names.count(run.name) > 1:
                folder = run.path.resolve().parent.name
                run.name = f"{run.name} ({number})" if with_number else f"{folder}/{run.name}"
    for number, run in enumerate(runs, start=1):
        while any(other.name == run.name for other in runs if other is not run):  # a file is called "run (2)"
            run.name = f"{run.name} ({number})"


def task_of_file(path: Path) -> str:
    """Detect the task of a prediction file from its first entries.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "p.json"
    >>> _ = file.write_text('{"film_001": "A crew eats."}')
    >>> task_of_file(file)
    'caption'
    """
    suffix = path.suffix.lower()
    if suffix not in FILE_KINDS:
        raise PredictionError(f"{path.name} is not a prediction file; use one of {', '.join(FILE_KINDS)}")
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return _task_of_names(pq.read_schema(path).names, path)
        except (pa.ArrowException, OSError) as error:
            raise PredictionError(
                f"{path.name} is not valid Parquet ({' '.join(str(error).split())[:100]}); write it again"
            ) from None
    return _task_of_csv(path) if suffix in (".csv", ".tsv") else _task_of_json(path)


def _task_of_csv(path: Path) -> str:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        fields = next(csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ","), [])
    try:
        if len(fields) == 8 and [float(field) for field in fields[2:]]:
            return "har"  # released files have no header
    except ValueError:
        pass
    return _task_of_names([field.strip() for field in fields], path)


def _task_of_json(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
        value = json.loads(text.split("\n", 1)[0] if path.suffix != ".json" else text)
    except (ValueError, RecursionError):
        raise PredictionError(f"{path.name} is not valid JSON; check that it is complete") from None
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(value, dict) and "video_id" not in value and value:
        first = next(iter(value.values()))
        if isinstance(first, str):
            return "caption"
        if isinstance(first, dict) and not set(first) & _ENTRY_KEYS:
            return "vqa"  # {video_id: {question: answer}}
        first = first[0] if isinstance(first, list) and first else first
    if not isinstance(first, dict):
        raise PredictionError(f"{path.name} contains no predictions; name the task with --task")
    return _task_of_names(list(first), path)


def _task_of_names(names: list[str], path: Path) -> str:
    keys = set(names)
    if keys & {"scores", "score"} and keys & {"frame", "frame_stamp", "timestamp", "boxes", "box", "x1"}:
        return "har"
    if keys & {"question", "Q", "qa_pairs"}:
        return "vqa"
    if keys & {"caption", "prediction"}:
        return "caption"
    raise PredictionError(
        f"{path.name}: the keys {names[:8]} fit neither actions, captions nor answers; name the task with --task"
    )
