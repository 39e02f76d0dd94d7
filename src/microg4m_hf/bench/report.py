"""Make a report: read runs and prediction files, score them, write tables and figures beside the published rows."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import hub
from .._version import __version__
from ..errors import MicroG4MError, PredictionError, RecipeError, list_some
from ..extras import require
from ..metrics.jackknife import MIN_SOURCES
from ..runtime import progress
from .published import PAPER, published_tables
from .references import References, Target, choose_target
from .render import write_document
from .render.document import BulletList, Cell, ContentBlock, Document, Paragraph, Section, Table
from .render.formatting import unique_slugs
from .runs import RunInfo, find_runs
from .scoring import RunScores, ScoringOptions, score_run
from .section_har import har_blocks
from .section_scores import score_blocks
from .section_text import text_blocks

TITLES = {"har": "Actions", "caption": "Captions", "vqa": "Questions"}
_RESULT_KEYS = ("scores", "intervals", "by", "per_class", "class_intervals", "ties", "counts", "signature", "recipe")


def make_report(
    runs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    references: str | os.PathLike[str] | None = None,
    data_dir: str | None = None,
    source: str | None = None,
    revision: str | None = None,
    scheme: str | None = None,
    split: str | None = None,
    task: str | None = None,
    options: ScoringOptions | None = None,
    details: int = 5,
    png: bool = False,
    figures: bool = False,
    eval_results: bool = False,
    command: str | None = None,
) -> dict[str, Any]:
    """Score runs and prediction files and write ``report.html``, ``.md``, ``.json``, ``figures/`` and ``tables/``.

    Runs that cannot be scored are listed with the reason.

    Args:
        runs: Run folders, folders of run folders, and prediction files; ``NAME=PATH`` names one.
        out: The folder of the report.
        references: A file with the references. Without it and without the next three arguments, each run is scored
            on the data that it was made with.
        data_dir: A folder with the released files.
        source: ``"sample"`` or a Hub repository.
        revision: Commit, tag or branch of the Hub repository.
        scheme: ``"official"`` or ``"source_disjoint"``; by default the scheme of each run.
        split: The split of files that do not record it; by default ``"test"``.
        task: The task of files whose entries do not show it.
        options: How to score and resample.
        details: Number of runs that get a detailed part.
        png: Whether to write figures as PNG too; needs the extra ``report``.
        figures: Whether to write figures for papers, PDF and SVG in two widths; needs the extra ``report``.
        eval_results: Whether to write the Hub's ``.eval_results`` file of every run with the published protocol.
        command: The command that makes the report, to show it on the page.

    Returns:
        The content of ``report.json``.

    Raises:
        RecipeError: ``references`` and the dataset are both given.
        PredictionError: No run could be scored.
    """
    options = options or ScoringOptions()
    if png or figures:
        require("matplotlib", "figures for papers")  # before the work
    where = {"data_dir": data_dir, "source": source, "revision": revision}
    if references is not None and any(where.values()):
        raise RecipeError(
            "references= and data_dir=, source= or revision= both name the references; leave one of them out"
        )
    found = find_runs(runs, task=task)
    for run in found:
        if run.is_baseline:
            run.name += " (baseline)"  # in every table and figure
    tables = published_tables()
    sections: list[Section] = []
    made = datetime.now(UTC).isoformat(timespec="minutes")
    data: dict[str, Any] = {
        "version": __version__,
        "date": made,
        "command": command,
        "options": vars(options),
        "tasks": {},
        "not_scored": [],
    }
    named = {"references": references, **where, "scheme": scheme, "split": split}
    for target, shared, group in _groups(found, named):
        runs_of_group = progress(group, f"scoring {TITLES[target.task].lower()}", unit="run")
        scored = [scores for run in runs_of_group if (scores := score_run(run, shared, options)) is not None]
        if scored:
            title = _title(shared, data["tasks"])
            name = unique_slugs([*data["tasks"], title])[-1]
            section, data["tasks"][title] = _section(title, name, scored, shared, tables, details, options)
            sections.append(section)
    sections.append(_remarks(found, data))
    if not data["tasks"]:
        reasons = "; ".join(f"{one['name']}: {one['why']}" for one in data["not_scored"][:5])
        raise PredictionError(f"no run could be scored; correct what each one lacks: {reasons}")
    facts = [
        ("date", made.replace("T", " ").replace("+00:00", " UTC")),
        ("command", command or "make_report in Python"),
    ]
    document = Document("MicroG-4M report", [_summary(found, options)], sections, facts)
    more = _eval_results(data) if eval_results else {}
    write_document(document, data, Path(out), png=png, figures=figures, more=more)
    return data


def _groups(runs: list[RunInfo], named: dict[str, Any]) -> Iterator[tuple[Target, References, list[RunInfo]]]:
    """Yield the runs that share references and were asked for the same items of them, in the order of the tasks."""
    for target, group in _by_target(runs, named).items():
        try:
            whole = References.of_target(target, group[0])
        except (MicroG4MError, OSError, ValueError) as error:
            for run in group:
                run.problem = f"its references cannot be read: {' '.join(str(error).split())}"
            continue
        found: dict[str, References] = {}  # by digest of the items
        parts: dict[str, list[RunInfo]] = {}
        for run in group:
            digest = run.asked.digest if run.asked is not None else ""
            try:
                if digest not in found:
                    found[digest] = whole.only(target, [run])
            except (MicroG4MError, OSError, ValueError) as error:
                run.problem = " ".join(str(error).split())
            else:
                parts.setdefault(digest if found[digest].part else "", []).append(run)
        for digest, members in parts.items():
            yield target, found[digest] if digest else whole, members


def _by_target(runs: list[RunInfo], named: dict[str, Any]) -> dict[Target, list[RunInfo]]:
    """Group the runs by the references that they need."""
    groups: dict[Target, list[RunInfo]] = {}
    for task in TITLES:
        usable = [run for run in runs if run.task == task and run.problem is None]
        places = [run.data for run in usable if run.data]
        for run in usable:
            if not run.data and places and all(place == places[0] for place in places):
                run.data = places[0]  # a bare file belongs beside the runs that it is reported with
            try:
                target = choose_target(run, **named)
            except RecipeError as error:
                if named["references"] is not None:
                    raise  # the options contradict each other for every run
                run.problem = str(error)
                continue
            if target.assumed:
                run.notes.append(target.assumed)
            groups.setdefault(target, []).append(run)
    return groups


def _title(references: References, taken: Collection[str]) -> str:
    title = TITLES[references.task] + (" on the sample" if references.sample else "")
    if references.scheme != "official":
        title += f", {references.scheme}"
    if references.split is not None and (references.split != "test" or references.task != "har"):
        title += f", {references.split}"  # captions and questions are usually not divided
    if references.part:
        title += f", {references.part}"
    numbers = (f"{title} ({number})" for number in itertools.count(2))
    return title if title not in taken else next(one for one in numbers if one not in taken)


def _section(
    title: str,
    name: str,
    runs: list[RunScores],
    references: References,
    tables: dict[str, Any],
    details: int,
    options: ScoringOptions,
) -> tuple[Section, dict[str, Any]]:
    task = references.task
    blocks, data = score_blocks(name, runs, references, tables)
    if task == "har":
        more, details_of = har_blocks(name, runs, references, details, options)
    else:
        more, details_of = text_blocks(name, runs, references, details, tables)
    data |= {
        "truth": {
            "where": references.where,
            "scheme": references.scheme,
            "split": references.split,
            "part": references.part,
            "sample": references.sample,
        },
        "published": [] if references.sample else _published_rows(task, tables),
        "systems": [
            {
                "name": scores.name,
                "path": str(scores.info.path),
                "file_name": scores.info.file_name,
                "about": scores.info.about,
                "sha256": _sha256(scores.info.predictions),
                "notes": scores.info.notes,
                "baseline": scores.info.is_baseline,
                "same_protocol": not data["verdicts"][scores.name],
                "differs": data["verdicts"][scores.name],
                **{key: scores.result[key] for key in _RESULT_KEYS if key in scores.result},
                "details": details_of.get(scores.name, {}),
            }
            for scores in runs
        ],
    }
    blocks.insert(1, Paragraph(_introduction(runs, references)))  # below the findings
    return Section(title, [*blocks, *more, _files(name, runs, data["systems"])]), data


def _files(name: str, runs: list[RunScores], systems: list[dict[str, Any]]) -> Table:
    """List what was scored, with digests that tell whether a file has changed since."""
    rows = [
        [Cell(run.name), Cell(str(run.info.predictions)), Cell((one["sha256"] or "–")[:16])]
        for run, one in zip(runs, systems, strict=True)
    ]
    digest = runs[0].result["recipe"].get("references")
    caption = "Files" + (f"; digest of the references: {digest}" if digest else "")
    keys = [run.info.file_name for run in runs]
    return Table(f"{name}-files", caption, ["run", "file", "SHA-256, first 16"], rows, [], (1, 2), keys, in_paper=False)


def _sha256(path: Path | None) -> str | None:
    if path is None or not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _published_rows(task: str, tables: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "table": table.id,
            "name": row.name,
            "setting": row.setting,
            "scores": dict(row.scores),
            "source": table.source,
        }
        for table in tables.values()
        if table.task == task
        for row in table.rows
    ]


def _introduction(runs: list[RunScores], references: References) -> str:
    recipes = sorted({recipe_line(scores.result["recipe"]) for scores in runs})
    published = "Published rows are gray"
    if references.sample:
        published = "The sample is synthetic, so published scores are not shown"
    return (
        f"{len(runs)} run{'s' * (len(runs) != 1)} scored against {references.describe()}. "
        f"{published}; yellow rows list how their protocol differs from the published one. "
        f"Recipe: {'; '.join(recipes)}."
    )


def recipe_line(recipe: dict[str, Any]) -> str:
    """Return the part of a recipe that runs with the same protocol share, without the model and counts.

    >>> recipe_line({"metric": "har", "protocol": "paper", "model": "x3d_s", "used": 1136})
    'har, protocol paper'
    """
    own = {"metric", "model", "revision", "used", "missing", "seed", "version"}
    return ", ".join(
        [str(recipe["metric"]), *(f"{key} {_value_text(value)}" for key, value in recipe.items() if key not in own)]
    )


def _value_text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _remarks(runs: list[RunInfo], data: dict[str, Any]) -> Section:
    """List the runs that could not be scored, and the notes on the others."""
    broken = [run for run in runs if run.problem is not None]
    data["not_scored"] = [{"name": run.name, "path": str(run.path), "why": run.problem} for run in broken]
    blocks: list[ContentBlock] = []
    if broken:
        blocks += [Paragraph("Not scored:"), BulletList([f"{run.name}: {run.problem}" for run in broken])]
    notes: dict[str, list[str]] = {}  # a note of many runs is one line
    for run in runs:
        for note in run.notes if run.problem is None else ():
            notes.setdefault(note.removeprefix(f"{run.path.name} "), []).append(run.name)
    if notes:
        listed = [f"{list_some(names, 12)}: {note}" for note, names in notes.items()]
        blocks += [Paragraph("Notes:"), BulletList(listed)]
    blocks.append(Paragraph(f"Published rows: {PAPER}."))
    return Section("Remarks", blocks)


def _summary(runs: list[RunInfo], options: ScoringOptions) -> str:
    scored = sum(run.problem is None for run in runs)
    text = f"{scored} of {len(runs)} runs scored with microg4m-hf {__version__}, protocol {options.protocol}."
    if options.resamples:
        text += " Intervals and tests: jackknife over films (one left out at a time); "
        text += f"below {MIN_SOURCES} films there are none."
    return text


def _eval_results(data: dict[str, Any]) -> dict[str, str]:
    """Return the leaderboard file of every run with the published protocol, by name."""
    return {
        f"eval_results/{run['file_name']}.yaml": hub.eval_results(task, run)
        for title, found in data["tasks"].items()
        for task, name in TITLES.items()
        if title.startswith(name)
        for run in found["systems"]
        if run["same_protocol"] and not run["baseline"]
    }
