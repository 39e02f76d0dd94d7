"""``make_report``: runs and prediction files in, the benchmark's tables and pictures out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import hub
from .._version import __version__
from ..errors import MicroG4MError, PredictionError, RecipeError
from ..runtime import progress
from .published import PAPER, published_tables
from .references import Truth, from_data_set, from_file
from .render.document import Block, Document, Paragraph, Points, Section
from .render.names import slug
from .render.write import write_document
from .runs import System, find_systems
from .scoring import Options, Scored, score_system
from .section_har import har_blocks
from .section_scores import score_blocks
from .section_text import text_blocks

TITLES = {"har": "Actions", "caption": "Captions", "vqa": "Questions"}


def make_report(
    runs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    references: str | os.PathLike[str] | None = None,
    data_dir: str | None = None,
    source: str | None = None,
    revision: str | None = None,
    scheme: str | None = None,
    task: str | None = None,
    options: Options | None = None,
    details: int = 5,
    png: bool = False,
    eval_results: bool = False,
) -> dict[str, Any]:
    """Score runs and prediction files and write ``report.html``, ``.md``, ``.json``, ``figures/`` and ``tables/``.

    ``runs`` are run folders, folders of runs, or prediction files; ``NAME=PATH`` names one. The truth is the file
    ``references``, or the data set that ``data_dir``, ``source`` and ``revision`` name, or, when nothing is said, the
    data that each run says it was made with. ``eval_results`` also writes the Hub's leaderboard file of every system
    that was scored exactly as the published ones. Systems that cannot be scored are listed with the reason.
    Returns what ``report.json`` holds.
    """
    chosen = options or Options()
    where = {"data_dir": data_dir, "source": source, "revision": revision}
    if references is not None and any(where.values()):
        raise RecipeError("references= and data_dir=, source= or revision= both say where the truth is; give one")
    systems = find_systems(runs, task=task)
    groups = _groups(systems, references, where, scheme)
    tables = published_tables()
    sections: list[Section] = []
    data: dict[str, Any] = {"version": __version__, "options": vars(chosen), "tasks": {}, "not_scored": []}
    for (kind, *_), members in groups.items():
        truth = _truth(members, kind, references, where, scheme)
        if isinstance(truth, str):
            for system in members:
                system.problem = truth
            continue
        watched = progress(members, f"scoring {TITLES[kind].lower()}", unit="run")
        scored = [one for one in (score_system(system, truth, chosen) for system in watched) if one is not None]
        if scored:
            section, found = _section(scored, truth, tables, details, chosen)
            sections.append(section)
            data["tasks"][section.title] = found
    sections.append(_remarks(systems, data))
    if not data["tasks"]:
        reasons = "; ".join(f"{one['name']}: {one['why']}" for one in data["not_scored"][:5])
        raise PredictionError(f"nothing could be scored. {reasons}")
    document = Document("MicroG-4M report", _summary(systems, chosen), sections)
    files = _eval_results(data) if eval_results else {}
    write_document(document, data, Path(out), png=png, more=files)
    return data


def _groups(
    systems: list[System], references: Any, where: dict[str, Any], scheme: str | None
) -> dict[tuple[Any, ...], list[System]]:
    """Systems that share their truth, tasks in the order of the benchmark."""
    groups: dict[tuple[Any, ...], list[System]] = {}
    for task in TITLES:
        for system in systems:
            if system.task == task and system.problem is None:
                place = () if references is not None else tuple(sorted(_where(system, where).items(), key=str))
                key = (task, scheme or system.scheme if task == "har" else scheme, system.split, place)
                groups.setdefault(key, []).append(system)
    return groups


def _where(system: System, where: dict[str, Any]) -> dict[str, Any]:
    """The data that the caller names; else those of the run."""
    if any(where.values()):
        return where
    return {"data_dir": None, "source": None, "revision": None} | system.data


def _truth(members: list[System], task: str, references: Any, where: dict[str, Any], scheme: str | None) -> Truth | str:
    """The truth of a group, or why there is none."""
    first = members[0]
    try:
        if references is not None:
            return from_file(task, references)
        own = scheme or (first.scheme if task == "har" else None)
        return from_data_set(task, **_where(first, where), scheme=own, split=first.split)
    except (MicroG4MError, OSError, ValueError) as error:
        return f"there is nothing to score against: {' '.join(str(error).split())}"


def _section(
    scored: list[Scored], truth: Truth, tables: dict[str, Any], details: int, options: Options
) -> tuple[Section, dict[str, Any]]:
    task = truth.task
    title = TITLES[task]
    if truth.sample:
        title += " on the sample"
    if truth.scheme != "official":
        title += f", {truth.scheme}"
    name = title.lower().replace(" ", "-").replace(",", "")
    blocks: list[Block] = [Paragraph(_about(scored, truth))]
    more, found = score_blocks(name, scored, truth, tables)
    blocks += more
    if task == "har":
        more, detail = har_blocks(name, scored, truth, details, options)
    else:
        more, detail = text_blocks(name, scored, truth, details, tables)
    blocks += more
    found |= {
        "truth": {"where": truth.where, "scheme": truth.scheme, "sample": truth.sample},
        "published": [] if truth.sample else _published(task, tables),
        "systems": [
            {
                "name": one.system.name,
                "path": str(one.system.path),
                "about": one.system.about,
                "notes": one.system.notes,
                "same_protocol": not found["verdicts"][one.system.name],
                "differs": found["verdicts"][one.system.name],
                **{key: one.result[key] for key in _KEPT if key in one.result},
                "details": detail.get(one.system.name, {}),
            }
            for one in scored
        ],
    }
    return Section(title, blocks), found


_KEPT = ("scores", "intervals", "by", "per_class", "class_intervals", "ties", "counts", "signature", "recipe")


def _published(task: str, tables: dict[str, Any]) -> list[dict[str, Any]]:
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


def _about(scored: list[Scored], truth: Truth) -> str:
    signatures = sorted({recipe_line(one.result["recipe"]) for one in scored})
    beside = "Published rows are grey"
    if truth.sample:
        beside = "The sample is drawn, so no published score stands beside it"
    systems = "1 system" if len(scored) == 1 else f"{len(scored)} systems"
    return (
        f"{systems} scored against {truth.where}, split scheme {truth.scheme}. {beside}; rows on yellow "
        f"were not scored as the published ones were, and say why. Recipe: {'; '.join(signatures)}."
    )


def recipe_line(recipe: dict[str, Any]) -> str:
    """What systems have in common when they were scored alike: a recipe without model and counts.

    >>> recipe_line({"metric": "har", "protocol": "paper", "model": "x3d_s", "used": 1136})
    'har, protocol paper'
    """
    own = {"metric", "model", "revision", "used", "missing", "seed", "version"}
    shared = (f"{key} {value}" for key, value in recipe.items() if key not in own)
    return ", ".join([str(recipe["metric"]), *shared])


def _remarks(systems: list[System], data: dict[str, Any]) -> Section:
    """What is missing and what to know; nothing is passed over in silence."""
    broken = [one for one in systems if one.problem is not None]
    data["not_scored"] = [{"name": one.name, "path": str(one.path), "why": one.problem} for one in broken]
    blocks: list[Block] = []
    if broken:
        blocks += [Paragraph("Not scored:"), Points([f"{one.name}: {one.problem}" for one in broken])]
    notes = [f"{one.name}: {note}" for one in systems if one.problem is None for note in one.notes]
    if notes:
        blocks += [Paragraph("To know:"), Points(notes)]
    blocks.append(Paragraph(f"Published rows: {PAPER}."))
    return Section("Remarks", blocks)


def _summary(systems: list[System], options: Options) -> list[str]:
    done = [one for one in systems if one.problem is None]
    line = f"{len(done)} of {len(systems)} systems scored with microg4m-hf {__version__}, protocol {options.protocol}."
    if options.resamples:
        line += f" Intervals and tests draw whole films again, {options.resamples} times, seed {options.seed}."
    return [line]


def _eval_results(data: dict[str, Any]) -> dict[str, str]:
    """The leaderboard file of systems under the published protocol; others have no place there."""
    files = {}
    for title, found in data["tasks"].items():
        task = next(kind for kind, name in TITLES.items() if title.startswith(name))
        for system in found["systems"]:
            if system["same_protocol"]:
                files[f"eval_results/{slug(system['name'])}.yaml"] = hub.eval_results(task, system)
    return files
