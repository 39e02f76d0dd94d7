"""Reproduce rows of the action tables: fetch weights, predict the published split, score and judge, row by row."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import MicroG4MError, PredictionError, RecipeError, list_some
from ...exits import explain
from ...models.registry import PUBLISHED, for_training
from ...models.weights import WEIGHTS, WeightsFile, epoch_of, model_named
from ...runtime import is_main_process
from ..published import PublishedRow, PublishedTable, published_tables
from ..references import References
from ..runs import FILE_KINDS, RunInfo, find_runs
from .har_evidence import HarEvidence, compare_with_released, read_references, score_as_published
from .judgement import NOT_POSSIBLE, Judgement, RowResult, judge

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ...training.recipe import Recipe

TABLES = ("har", "har_zero_shot")
Location = Mapping[str, "str | None"]


@dataclasses.dataclass(frozen=True)
class HarOptions:
    """How rows are reproduced.

    Args:
        where: ``data_dir``, ``source`` and ``revision`` of the dataset.
        references: A file of references instead of the dataset; only for prediction files.
        predictions: Prediction files by row, instead of running models.
        released_results: Prediction files that the authors released, by row, to compare with.
        weights: Checkpoints of your own, by row.
        weights_revision: Commit, tag or branch of the authors' model repository.
        overrides: ``section.key=value`` words for the recipe; a row with such settings is not the published test.
        corrected: Also score with the corrected protocol, and predict with corrected networks that have weights.
        workers: Processes that decode.
        batch: Key frames per forward pass.
    """

    where: Location
    references: str | None = None
    predictions: Mapping[str, RunInfo] | None = None
    released_results: Mapping[str, RunInfo] = dataclasses.field(default_factory=dict)
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
    weights_revision: str | None = None
    overrides: Sequence[str] = ()
    corrected: bool = False
    workers: int | None = None
    batch: int = 8


def reproduce_har(
    names: Sequence[str] = (),
    out: str | Path = "reproduce",
    options: HarOptions | None = None,
    *,
    finished: Callable[[RowResult], None] = lambda row: None,
) -> list[RowResult]:
    """Reproduce rows of the action tables. Every process of a launch must call this.

    A row whose weights cannot be had, or whose prediction fails, is not possible; the others go on.

    Args:
        names: Rows, by the library's or the authors' name; none for all, or for those with a prediction file.
        out: A folder; each row has its run folder in it, and the same call continues after a kill.
        options: Where data, weights and predictions are.
        finished: Called with each row as soon as it is judged, on the main process.

    Returns:
        The rows, in the order of the published tables; empty on other processes than the main one.

    Raises:
        RecipeError: A name is not that of a row.
        SourceError: The dataset cannot be found.

    Example:
        >>> rows = reproduce_har(["x3d_s"], options=HarOptions({"data_dir": "microg4m"}))  # doctest: +SKIP
    """
    options = options or HarOptions({"data_dir": None, "source": None, "revision": None})
    chosen = find_rows(names, options.predictions)
    references = read_references(options.references, options.where)
    runner = None if options.predictions is not None else _Runner(Path(out), options, [row.model for row, _ in chosen])
    results = []
    for row, table in chosen:
        assert row.model is not None
        try:
            found = None if runner is None else runner.predict(row.model)
            if not is_main_process():
                continue
            path = _path_of(row.model, options) if found is None else found.pop("path")
            evidence = score_as_published(path, references, table)
            _add_what_is_known(evidence, row.model, options, found)
            result = _judged(row, table, evidence, references, options)
        except (MicroG4MError, OSError) as error:
            if isinstance(error, ImportError) or (runner is not None and runner.is_stuck_by(error)):
                raise
            result = _row(row, table, Judgement(NOT_POSSIBLE, reason=_line(error)))
        if is_main_process():
            finished(result)
            results.append(result)
    if runner is not None:
        runner.close()
    return results


def find_rows(
    names: Sequence[str], predictions: Mapping[str, RunInfo] | None = None
) -> list[tuple[PublishedRow, PublishedTable]]:
    """Return the rows of these names, in the order of the tables.

    Args:
        names: Names of the library or of the authors; none for all, or for those with a prediction file.
        predictions: The prediction files by row, if models are not run.

    Raises:
        RecipeError: A name is not that of a row.

    Example:
        >>> [row.model for row, _ in find_rows(["X3D_S", "c2d_8x8_r50"])]
        ['c2d_8x8_r50', 'x3d_s']
    """
    tables = published_tables()
    rows = [(row, tables[name]) for name in TABLES for row in tables[name].rows]
    wanted = {row_name(name) for name in names} or set(predictions if predictions is not None else PUBLISHED)
    return [(row, table) for row, table in rows if row.model in wanted]


def row_name(text: str) -> str:
    """Return the row that a word names.

    Args:
        text: A name of the library, or the one that the authors gave the model.

    Raises:
        RecipeError: It names no row.

    Example:
        >>> row_name("MVITv2_S_16x4")
        'mvitv2_s_16x4'
    """
    found = model_named(text)
    if found not in PUBLISHED:
        raise RecipeError(f"{text!r} is not a row of the action tables; use {', '.join(PUBLISHED)}")
    return str(found)


def find_predictions(words: Iterable[str], names: Sequence[str] = ()) -> dict[str, RunInfo]:
    """Return the prediction files that words name, by row.

    Args:
        words: ``NAME=PATH``, or paths: a prediction file, a run folder, or a folder of them. The row of a path without
            a name is the model that the file records, or that the file or its folder is named after; if one row is
            asked for, a single file is its.
        names: The rows that are asked for.

    Raises:
        PredictionError: A path does not exist, or nothing shows which row it belongs to.
        RecipeError: A name is not that of a row.
    """
    found: dict[str, RunInfo] = {}
    words = list(words)
    for word in words:
        name, equals, rest = word.partition("=")
        named = row_name(name) if equals and not Path(word).exists() else None
        path = Path(rest if named else word)
        if not path.exists():
            raise PredictionError(f"{path} does not exist; give a prediction file, a run folder or a folder of them")
        runs = [run for one in _expand(path) for run in find_runs([one], task="har")]
        for run in runs:
            alone = len(words) == len(runs) == len(names) == 1
            row = named or _row_of(run) or (row_name(names[0]) if alone else None)
            if row is None:
                if len(runs) > 1:
                    continue  # a folder may hold other files
                raise PredictionError(f"nothing shows which row {run.path} belongs to; give it as NAME={run.path}")
            if row in found:
                raise PredictionError(f"{found[row].path} and {run.path} are both of {row}; name one as {row}=PATH")
            found[row] = run
    if not found:
        raise PredictionError(f"{list_some(words)}: no prediction file of a published row; name one as NAME=PATH")
    return found


def _expand(path: Path) -> list[Path]:
    """Return the files of a folder that holds prediction files side by side, and other paths as they are."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in FILE_KINDS and model_named(file.stem))
    return files or [path]


def _row_of(run: RunInfo) -> str | None:
    words = (run.about.get("model"), run.path.stem, run.name, run.path.name, run.path.absolute().parent.name)
    return next((name for word in words if word and (name := model_named(str(word))) in PUBLISHED), None)


def _path_of(model: str, options: HarOptions) -> Path:
    assert options.predictions is not None
    run = options.predictions.get(model)
    if run is None:
        raise PredictionError(f"there is no prediction file of {model}; name one as {model}=PATH")
    if run.problem is not None or run.predictions is None:
        raise PredictionError(run.problem or f"{run.path} has no predictions")
    for what, own, published in (("split", run.split, "test"), ("scheme", run.scheme, "official")):
        if own not in (None, published):
            raise PredictionError(f"{run.path} predicts the {what} {own}, and the row is of {published}")
    return run.predictions


def _add_what_is_known(evidence: HarEvidence, model: str, options: HarOptions, found: dict[str, Any] | None) -> None:
    """Add what the prediction of a row, or the run of its file, shows besides the scores."""
    if found is None:
        assert options.predictions is not None
        evidence.notes += options.predictions[model].notes
        return
    file = found.pop("file")
    evidence.faults = [*(f"setting {line}" for line in found.pop("changed")), *evidence.faults]
    evidence.causes += _weights_causes(model, file, given=model in options.weights)
    evidence.found["weights"] = {"file": file.origin, "sha256": file.sha256, "epoch": epoch_of(file.path)}
    evidence.found |= found


def _judged(
    row: PublishedRow, table: PublishedTable, evidence: HarEvidence, references: References, options: HarOptions
) -> RowResult:
    released = options.released_results.get(row.model or "")
    if released is not None and released.predictions is not None:
        compare_with_released(evidence, released.predictions, references, table)
    if options.corrected:
        evidence.found["corrected"] = {"instance": instance_scores(evidence)} | evidence.found.get("corrected", {})
    words = {key: getattr(evidence, key) for key in ("faults", "causes", "notes")}
    return _row(row, table, judge(row.printed, evidence.scores, evidence.allowances, **words), evidence.found)


def _row(
    row: PublishedRow, table: PublishedTable, judgement: Judgement, found: Mapping[str, Any] | None = None
) -> RowResult:
    return RowResult(row.model or row.name, row.name, row.setting, table.id, judgement, found or {})


def instance_scores(evidence: HarEvidence) -> dict[str, float]:
    """Return the scores of the same predictions under the corrected protocol, every person against own labels."""
    from ...metrics.har.result import score_har

    settings = dataclasses.replace(evidence.result.settings, protocol="instance", scores_are="logits")
    return score_har(evidence.result.predictions, evidence.result.references, settings).scores


def _line(error: Exception) -> str:
    text = explain(error, "reproduce har")
    if text is None:
        raise error
    return " ".join(text.split())


class _Runner:
    """Runs the models of rows one after another with one accelerator."""

    def __init__(self, out: Path, options: HarOptions, names: Sequence[str | None]) -> None:
        from ...training.build import build_accelerator
        from ...training.run_folder import RunFolder

        self.out, self.options = out, options
        if options.batch < 1:
            raise RecipeError(f"batch={options.batch} predicts nothing; give at least 1")
        for name in options.weights:
            if name not in names and name.removesuffix("_corrected") not in names:
                raise RecipeError(f"weights of {name} are given, but that row is not asked for")
        first = str(names[0])
        self.accelerator: Accelerator = build_accelerator(self._recipe(first)[0], RunFolder(out / first))

    def close(self) -> None:
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()

    def predict(self, name: str) -> dict[str, Any]:
        """Predict a row into its run folder. Every process must call this."""
        recipe, changed = self._recipe(name)
        file, model = self._together(lambda: self._load(name, recipe))
        folder = self.out / name
        self._run(model, recipe, folder)
        found = {"path": folder / "predictions" / "test.parquet", "file": file, "changed": changed}
        if self.options.corrected and (corrected := self._corrected(name)) is not None:
            found["corrected"] = corrected
        return found

    def is_stuck_by(self, error: Exception) -> bool:
        """Whether other processes wait for this one, which an error of the system took out of the row."""
        return self.accelerator.num_processes > 1 and not isinstance(error, MicroG4MError)

    def _run(self, model: Any, recipe: Recipe, folder: Path) -> dict[str, Any]:
        from ...training.predict_run import predict_with
        from ...training.run_folder import RunFolder

        self._together(lambda: RunFolder(folder).begin(recipe) if self.accelerator.is_main_process else None)
        return predict_with(self.accelerator, model, recipe, folder, batch=self.options.batch)

    def _recipe(self, name: str, model: str | None = None, weights: str | None = None) -> tuple[Recipe, list[str]]:
        """Return how the model of a row is fed, and which settings are not the published ones."""
        from ...training.predict_run import recipe_of
        from ...training.recipe import PRACTICAL
        from ...training.recipe_io import differences, override_recipe

        if model is None:  # the weights are recorded in config.yaml; see _load
            weights = self.options.weights.get(name)
            model = name if weights is not None else f"released:{name}"
        own = {"workers": self.options.workers, "on_error": "skip", **self.options.where}
        recipe = override_recipe(recipe_of(model, weights, **own), ["loop.mixed_precision=no"])
        changed = override_recipe(recipe, self.options.overrides)
        lines = differences(recipe.to_dict(), changed.to_dict())
        return changed, [line for line in lines if line.partition(":")[0] not in PRACTICAL | {"variant"}]

    def _load(self, name: str, recipe: Recipe) -> tuple[WeightsFile, Any]:
        from ...models.pyslowfast import load_pyslowfast
        from ...models.weights import fetch_released, state_for

        given = self.options.weights.get(name)
        if given is None:
            file = fetch_released(name, revision=self.options.weights_revision)
        else:
            file = WeightsFile(Path(given), given)
        data = recipe.data
        settings: dict[str, Any] = {
            "num_frames": data.num_frames,
            "sampling_rate": data.stride,
            "test_size": data.eval_short_side,
        }
        return file, load_pyslowfast(name, state_for(name, file), **settings, **recipe.model.overrides)

    def _corrected(self, name: str) -> dict[str, Any] | None:
        """Predict with the corrected network of a row, if there is one and it has weights."""
        from ...training.predict_run import load_model

        better = for_training(name)
        if better == name:
            return None
        given = self.options.weights.get(better)
        if given is None:
            return {"network": better, "reason": f"no released weights; give --weights {better}=RUN_OR_FILE"}
        is_checkpoint = Path(given).is_file()
        recipe, _ = self._recipe(better, better if is_checkpoint else given, given if is_checkpoint else None)
        model = self._together(lambda: load_model(recipe))
        summary = self._run(model, recipe, self.out / better)["test"]
        return {"network": better, "paper": summary["scores"], "network_instance": summary["instance"]}

    def _together(self, job: Callable[[], Any]) -> Any:
        """Do a job on every process, and fail on all of them if it fails on one: none may wait for another."""
        from accelerate.utils import gather_object

        result, problem = None, None
        try:
            result = job()
        except (MicroG4MError, OSError) as error:
            if isinstance(error, ImportError):
                raise
            problem = _line(error)
        problems = [text for text in gather_object([problem]) if text]
        if problems:
            raise RecipeError(problems[0])
        return result


def _weights_causes(name: str, file: WeightsFile, *, given: bool) -> list[str]:
    """Say what is known about the weights that may explain a difference."""
    tested, epoch = WEIGHTS[name].epochs, epoch_of(file.path)
    causes = [f"weights: {file.origin} was given and is not known to be the released file"] if given else []
    if tested and epoch is None and not given:
        causes.append(f"weights: {file.origin} does not show its epoch; epoch {tested[0]} was tested")
    elif tested and epoch is not None and epoch != tested[0]:
        causes.append(f"weights: {file.origin} is of epoch {epoch}; epoch {tested[0]} was tested")
    return causes


def report_progress(row: RowResult) -> None:
    """Print a judged row to standard error, so that a long run shows how far it is."""
    with contextlib.suppress(OSError):
        print(f"{row.name}: {row.judgement.summary}", file=sys.stderr)
