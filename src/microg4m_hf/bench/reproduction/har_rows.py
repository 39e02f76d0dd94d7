"""Reproduce rows of the action tables: fetch weights, predict the published split, score and judge, row by row."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import MicroG4MError, PredictionError, RecipeError, list_some
from ...models.registry import PUBLISHED
from ...models.weights import epoch_of, model_named
from ...runtime import is_main_process
from ..published import PublishedRow, PublishedTable, published_tables
from ..references import References
from ..runs import FILE_KINDS, RunInfo, find_runs
from .har_evidence import HarEvidence, compare_with_released, read_references, score_as_published
from .judgement import NOT_POSSIBLE, Judgement, RowResult, judge
from .row_runner import HarOptions, RowRunner, error_line, pixels_line, weights_causes

TABLES = ("har", "har_zero_shot")


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
    runner = (
        None if options.predictions is not None else RowRunner(Path(out), options, [row.model for row, _ in chosen])
    )
    results = []
    for row, table in chosen:
        found, problem = predict_row(row, runner)
        if is_main_process():
            results.append(judge_row(row, table, references, options, found, problem))
            finished(results[-1])
    if runner is not None:
        runner.close()
    return results


def predict_row(
    row: PublishedRow, runner: RowRunner | None, **settings: Any
) -> tuple[dict[str, Any] | None, str | None]:
    """Predict a row, if models are run. Every process must call this.

    Args:
        row: The row.
        runner: What runs models; None to judge prediction files.
        settings: Keywords of :meth:`RowRunner.predict`.

    Returns:
        What the run found, and why it failed.
    """
    if runner is None:
        return None, None
    try:
        return runner.predict(str(row.model), **settings), None
    except (MicroG4MError, OSError) as error:
        if isinstance(error, ImportError) or runner.is_stuck_by(error):
            raise  # no row can be predicted
        return None, error_line(error)


def judge_row(
    row: PublishedRow,
    table: PublishedTable,
    references: References,
    options: HarOptions,
    found: dict[str, Any] | None,
    problem: str | None,
    notes: Sequence[str] = (),
) -> RowResult:
    """Score and judge a row.

    Args:
        row: The row.
        table: Its table.
        references: The references of its split.
        options: Where prediction files are.
        found: What a run found; None to judge the prediction file of ``options``.
        problem: Why the run failed.
        notes: What else a reader must know.
    """
    try:
        if problem is not None:
            raise PredictionError(problem)
        path = _path_of(str(row.model), table, options) if found is None else found["path"]
        shifts = None if found is None else found["pixels"].get("shifts")
        evidence = score_as_published(path, references, table, shifts=shifts)
        _add_what_is_known(evidence, str(row.model), options, found)
        if found is not None and "decoded" in found["pixels"]:
            decoded = score_as_published(Path(found["pixels"]["decoded"]), references, table).scores
            line = pixels_line(found["pixels"], 100 * decoded["map"], 100 * evidence.scores["map"])
            evidence.notes.append(line)
            evidence.found["pixels"] |= {"text": line, "decoded_scores": decoded}
        evidence.notes += notes
        return _judged(row, table, evidence, references, options)
    except (MicroG4MError, OSError) as error:
        return result_of(row, table, Judgement(NOT_POSSIBLE, reason=error_line(error)))


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


def _path_of(model: str, table: PublishedTable, options: HarOptions) -> Path:
    assert options.predictions is not None
    run = options.predictions.get(model)
    if run is None:
        raise PredictionError(f"there is no prediction file of {model}; name one as {model}=PATH")
    if run.problem is not None or run.predictions is None:
        raise PredictionError(run.problem or f"{run.path} has no predictions; give another file")
    split = "test" if table.id in TABLES else "earth"  # as `predict har --ava-format` records it
    for what, own, published in (("split", run.split, split), ("scheme", run.scheme, "official")):
        if own not in (None, published):
            raise PredictionError(
                f"{run.path} predicts the {what} {own}, and the row is of {published}; give a file of that {what}"
            )
    return run.predictions


def _add_what_is_known(evidence: HarEvidence, model: str, options: HarOptions, found: dict[str, Any] | None) -> None:
    """Add what the prediction of a row, or the run of its file, shows besides the scores."""
    if found is None:
        assert options.predictions is not None
        evidence.notes += options.predictions[model].notes
        return
    file = found["file"]
    evidence.faults = [*(f"setting {line}" for line in found["changed"]), *evidence.faults]
    evidence.causes += weights_causes(model, file)
    evidence.causes.append(found["pixels"]["text"])
    evidence.found["weights"] = {"file": file.origin, "sha256": file.sha256, "epoch": epoch_of(model, file.name)}
    evidence.found["pixels"] = {key: value for key, value in found["pixels"].items() if key != "shifts"}
    if "corrected" in found:
        evidence.found["corrected"] = found["corrected"]


def _judged(
    row: PublishedRow, table: PublishedTable, evidence: HarEvidence, references: References, options: HarOptions
) -> RowResult:
    released = options.released_results.get(row.model or "")
    if released is not None and released.predictions is not None:
        compare_with_released(evidence, released.predictions, references, table)
    if options.corrected:
        evidence.found["corrected"] = {"instance": instance_scores(evidence)} | evidence.found.get("corrected", {})
    words = {key: getattr(evidence, key) for key in ("faults", "causes", "notes")}
    return result_of(row, table, judge(row.printed, evidence.scores, evidence.allowances, **words), evidence.found)


def result_of(
    row: PublishedRow, table: PublishedTable, judgement: Judgement, found: Mapping[str, Any] | None = None
) -> RowResult:
    """Return the result of a row."""
    return RowResult(row.model or row.name, row.name, row.setting, table.id, judgement, found or {})


def instance_scores(evidence: HarEvidence) -> dict[str, float]:
    """Return the scores of the same predictions under the corrected protocol, every person against own labels."""
    from ...metrics.har.result import score_har

    settings = dataclasses.replace(evidence.result.settings, protocol="instance", scores_are="logits")
    return score_har(evidence.result.predictions, evidence.result.references, settings).scores


def report_progress(row: RowResult) -> None:
    """Print a judged row to standard error, so that a long run shows how far it is."""
    with contextlib.suppress(OSError):
        print(f"{row.name}: {row.judgement.summary}", file=sys.stderr)
