"""Reproduce the Earth-to-space table: the models that were trained on AVA, on JHMDB and on MicroG-4M.

The paper does not say how JHMDB was brought into AVA's format: which of its classes became which action, which frame is
scored, where the boxes come from. The rows on JHMDB are judged with the choices of ``training/jhmdb.py``, and say so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import PredictionError, RecipeError
from ...metrics.har.inputs import read_rows
from ...runtime import is_main_process
from ..gap import transfer_gap
from ..published import published_tables
from ..references import References
from ..runs import RunInfo
from .har_evidence import read_references
from .har_rows import find_rows, judge_row, predict_row
from .judgement import NOT_POSSIBLE, RowResult
from .row_runner import HarOptions, RowRunner

SPACE, EARTH = "har_zero_shot", "jhmdb_zero_shot"
UNKNOWN = (
    "the paper does not say how JHMDB was converted: its classes, frames and boxes were chosen here (training/jhmdb.py)"
)


def reproduce_gap(
    names: Sequence[str] = (),
    out: str | Path = "reproduce",
    options: HarOptions | None = None,
    *,
    jhmdb: str | Path | None = None,
    earth_predictions: Mapping[str, RunInfo] | None = None,
    finished: Callable[[RowResult], None] = lambda row: None,
) -> list[RowResult]:
    """Reproduce the rows on JHMDB and on MicroG-4M of the models from AVA. Every process of a launch must call this.

    Args:
        names: Models; none for both.
        out: As for :func:`reproduce_har`.
        options: As for :func:`reproduce_har`; the predictions are those on MicroG-4M.
        jhmdb: JHMDB as it is downloaded, which is converted into ``jhmdb`` of ``out``, or a folder in AVA's format.
        earth_predictions: Prediction files on JHMDB by row, with the predictions of ``options``.
        finished: Called with each row as soon as it is judged, on the main process.

    Returns:
        Two rows per model, first the one on JHMDB; empty on other processes than the main one. The evidence of the row
        on MicroG-4M has the differences by action under ``transfer``.

    Raises:
        RecipeError: A name is not that of a model from AVA.

    Example:
        >>> rows = reproduce_gap(jhmdb="JHMDB", options=HarOptions({"data_dir": "microg4m"}))  # doctest: +SKIP
    """
    options = options or HarOptions({"data_dir": None, "source": None, "revision": None})
    both = [str(row.model) for row in published_tables()[SPACE].rows]
    chosen = [(row, table) for row, table in find_rows(names or both) if table.id == SPACE]
    if len(chosen) < len(names):
        raise RecipeError(f"the Earth-to-space table has the models {' and '.join(both)} only; leave the others out")
    given, earth = options.predictions is not None, published_tables()[EARTH]
    references, on_earth = read_references(options.references, options.where), None
    runner = None if given else RowRunner(Path(out), options, [row.model for row, _ in chosen])
    folder = None if jhmdb is None else Path(jhmdb)
    if folder is not None and runner is not None:
        folder = runner.prepare_earth(folder, Path(out) / "jhmdb")
    if folder is not None:
        on_earth = earth_references(folder)
    results: list[RowResult] = []
    for row, table in chosen:
        found, problem = predict_row(row, runner, earth=folder)
        if not is_main_process():
            continue
        there = None if found is None else {**found, "path": _earth_file(found["path"])}
        missing = None if on_earth is not None else "there is no JHMDB; give its folder with --jhmdb"
        of_files = dataclasses.replace(options, predictions=earth_predictions or {}) if given else options
        first = judge_row(
            earth.row(str(row.model)), earth, on_earth or references, of_files, there, problem or missing, [UNKNOWN]
        )
        second = judge_row(row, table, references, options, found, problem)
        if first.judgement.outcome != NOT_POSSIBLE != second.judgement.outcome and on_earth is not None:
            second = _with_transfer(first, second, on_earth, references)
        for result in (dataclasses.replace(first, name=f"{first.name} on JHMDB"), second):
            results.append(result)
            finished(result)
    if runner is not None:
        runner.close()
    return results


def earth_references(folder: Path) -> References:
    """Return the references of a folder in AVA's format.

    Args:
        folder: A folder with ``annotations.csv`` and ``videos/``, or the file itself.
    """
    from ...training.ava_folder import ava_items, ava_references

    if folder.is_file():
        return References("har", read_rows(folder, references=True), folder.name)
    return References("har", read_rows(ava_references(ava_items(folder)), references=True), f"files in {folder.name}")


def _earth_file(space: Path) -> Path:
    return space.with_name("earth.parquet")


def _with_transfer(first: RowResult, second: RowResult, on_earth: References, references: References) -> RowResult:
    """Add the differences by action to the row on MicroG-4M."""
    files = [str(result.evidence["predictions"]) for result in (first, second)]
    try:
        found: dict[str, Any] = transfer_gap(files[0], on_earth.data, files[1], references.data)
    except PredictionError as error:  # no action in common
        found = {"reason": str(error)}
    return dataclasses.replace(second, evidence={**second.evidence, "transfer": found})
