"""Run the stages of a work folder: what is missing, one item after the other, each recorded when it is finished.

The films are divided over the processes of a launch, and each process takes its films through all stages, so that no
process waits for another. The stage ``filter`` compares all clips; it is judged by whoever comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from filelock import FileLock

from ..errors import ClipError, DataError, RecipeError
from ..inference.journal import times_made
from ..runtime import progress
from .action_proposals import load_action_model, proposal_journal, propose_for_clip, tracks_item
from .clips.cut import cut_source, is_cut
from .clips.shots import measure_shots
from .people.detectors import load_detector
from .people.quarter_turns import detect_people
from .people.tracks import make_tracks
from .proposals import STAGES as PROPOSALS, check_models, describe_proposals, draft_stage, has_model, kept_clips
from .reviews import read_tracks
from .verdicts import Verdict, count_reasons, judge_clips, write_verdicts
from .work import ClipRecord, Source, Work, item_id

STAGES = ("cut", "shots", "people", "tracks", "filter", *PROPOSALS)
MEASURED = STAGES[: STAGES.index("filter")]  # what the filter decides from
WITH_MODEL = ("people", "actions")  # their items need a model that is loaded once
_DOING = {
    "cut": "cutting",
    "shots": "finding shots",
    "people": "finding people",
    "tracks": "tracking",
    "actions": "proposing actions",
}


class Item(NamedTuple):
    """What a stage is run on: the id in the journal, the film or clip, and for tracks the hash of the detections."""

    id: str
    subject: Source | ClipRecord
    content: str


@dataclass(frozen=True)
class Options:
    """What changes how a run is done, and not what it finds."""

    batch_size: int = 8
    accept_license: bool = False
    retry_failed: bool = False


Record = dict[str, Any]
# Takes a stage, the work folder, items and options; yields the id and the record of each item, in any order.
Executor = Callable[[str, Work, Sequence[Item], Options], Iterator[tuple[str, Record]]]


def run_work(
    work: Work,
    *,
    until: str = STAGES[-1],
    options: Options | None = None,
    executor: Executor | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> dict[str, Any]:
    """Run what is missing, up to a stage, and return the state of all stages.

    The stages ``actions`` and ``texts`` are skipped where the settings name no model.

    Args:
        work: The work folder.
        until: The last stage to run.
        options: Batch size, accepted licenses, and whether failed items are tried again.
        executor: Runs the items of a stage; by default this process does, one after the other.
        rank: The number of this process.
        world_size: The number of processes.

    Raises:
        RecipeError: If there is no such stage, or the settings of a model cannot be used.
        ModelError: If a model is not there.
    """
    if until not in STAGES:
        raise RecipeError(f"until is {until!r}, it can be {', '.join(STAGES)}")
    options = options or Options()
    mine = divide_sources(work.sources(), rank, world_size)
    stages = STAGES[: STAGES.index(until) + 1]
    check_models(work, stages, world_size)
    for stage in stages:
        if stage == "filter":
            judge_work(work)
            continue
        if stage in PROPOSALS and not has_model(work, stage):
            continue
        if stage == "texts":
            names = [clip.video_id for clip in _kept_of(work, mine)]
            draft_stage(work, names, rank, options.retry_failed)
            continue
        items = stage_items(work, stage, mine)
        is_measured = stage in MEASURED
        with (
            work.journal(stage, rank)
            if is_measured
            else proposal_journal(work.folder, work.settings.actions.model, rank) as journal
        ):
            records = journal.records()
            pending = select_missing(work, stage, items, records, options.retry_failed)
            results = (executor or run_here)(stage, work, pending, options) if pending else iter(())
            unit, done = "film" if stage == "cut" else "clip", len(items) - len(pending)
            shown = progress(results, _DOING[stage], total=len(items), initial=done, unit=unit)
            for item, record in shown:
                # A later version of a program may make other files: the newest record has to be theirs.
                again = {"times_made": times_made(records[item]) + 1} if item in records else {}
                journal.add({"id": item, **record, **again})
    return describe_work(work)


def divide_sources(sources: list[Source], rank: int, world_size: int) -> list[Source]:
    """Return the films of one process."""
    return [source for place, source in enumerate(sources) if place % world_size == rank]


def stage_items(work: Work, stage: str, sources: Sequence[Source]) -> list[Item]:
    """Return the items of a stage that can be run: for later stages, those whose earlier stage succeeded."""
    if stage == "cut":
        return [Item(item_id(source.source, source.sha256), source, source.sha256) for source in sources]
    if stage == "actions":
        tracks = {clip: read_tracks(work.folder, clip.video_id) for clip in _kept_of(work, sources)}
        return [Item(tracks_item(clip.video_id, found), clip, "") for clip, found in tracks.items() if found.people]
    names = {source.source for source in sources}
    clips = [clip for clip in work.clips() if clip.source in names]
    if stage != "tracks":
        return [Item(item_id(clip.video_id, clip.sha256), clip, clip.sha256) for clip in clips]
    people = work.records("people")
    items = []
    for clip in clips:
        record = people.get(item_id(clip.video_id, clip.sha256))
        if record is not None and record["status"] == "ok":
            sha256 = record["result"][0]["sha256"]
            items.append(Item(item_id(clip.video_id, sha256), clip, sha256))
    return items


def _kept_of(work: Work, sources: Sequence[Source]) -> list[ClipRecord]:
    """The clips of some films that are kept as far as the reviews and the filter know."""
    names, kept = {source.source for source in sources}, set(kept_clips(work))
    return [clip for clip in work.clips() if clip.source in names and clip.video_id in kept]


def select_missing(
    work: Work, stage: str, items: Iterable[Item], records: dict[str, Record], retry_failed: bool = False
) -> list[Item]:
    """Return the items without a record, or whose files are not those of the current settings."""
    missing = []
    for item in items:
        record = records.get(item.id)
        if (
            record is None
            or (record["status"] != "ok" and retry_failed)
            or (record["status"] == "ok" and not _is_in_place(work, stage, item, record))
        ):
            missing.append(item)
    return missing


def _is_in_place(work: Work, stage: str, item: Item, record: Record) -> bool:
    if stage == "cut":
        assert isinstance(item.subject, Source)
        clips = (work.clip_path(item.subject.source, clip["id"]) for clip in record["result"])
        return is_cut(work, item.subject) and all(path.is_file() for path in clips)
    if stage in ("shots", "actions"):  # their results are in the journal
        return True
    assert isinstance(item.subject, ClipRecord)
    return work.has_result(stage, item.subject.video_id, work.result_key(stage, item.content))


def run_here(stage: str, work: Work, items: Sequence[Item], options: Options) -> Iterator[tuple[str, Record]]:
    """Run items in this process."""
    model = load_stage_model(stage, work, options)
    for item in items:
        yield item.id, run_item(stage, work, item, model)


def load_stage_model(stage: str, work: Work, options: Options) -> Any:
    """Return the detector of the stage ``people``, the action model of ``actions``, None for other stages."""
    if stage == "actions":
        return load_action_model(str(work.settings.actions.model))
    if stage != "people":
        return None
    settings = work.settings.people
    return load_detector(settings, accept_license=options.accept_license, batch_size=options.batch_size)


def run_item(stage: str, work: Work, item: Item, model: Any = None) -> Record:
    """Run a stage on one item and return its record; a film or clip that cannot be read is a failure with a reason."""
    try:
        if isinstance(item.subject, Source):
            return cut_source(work, item.subject)
        if stage == "shots":
            return measure_shots(work, item.subject)
        if stage == "people":
            return detect_people(work, item.subject, model)
        if stage == "actions":
            return propose_for_clip(work.folder, item.subject.video_id, model)
        return make_tracks(work, item.subject, item.content)
    except (ClipError, DataError) as error:
        return {"status": "failed", "why": " ".join(str(error).split())}


def judge_work(work: Work) -> dict[str, Verdict]:
    """Judge all clips and write ``stages/filter/verdicts.csv``. A lock orders processes, so the last one sees all."""
    (work.folder / "stages" / "filter").mkdir(parents=True, exist_ok=True)
    with FileLock(work.folder / "stages" / "filter" / ".lock"):
        verdicts = judge_clips(work)
        write_verdicts(work, verdicts.values())
    return verdicts


def describe_work(work: Work) -> dict[str, Any]:
    """Return for every stage how many items are done, failed and missing, why clips were dropped, what was proposed."""
    sources = work.sources()
    stages: dict[str, Any] = {}
    for stage in MEASURED:
        records = work.records(stage)
        items = stage_items(work, stage, sources)
        found = [records.get(item.id) for item in items]
        failed = {item.id.partition("@")[0]: record["why"] for item, record in zip(items, found, strict=True)
                  if record is not None and record["status"] != "ok"}  # fmt: skip
        done = sum(record is not None for record in found) - len(failed)
        stages[stage] = {"items": len(items), "done": done, "failed": len(failed), "why": failed}
    verdicts = judge_clips(work)
    return {
        "folder": str(work.folder),
        "protocol": work.settings.protocol,
        "sources": len(sources),
        "clips": len(verdicts),
        "stages": stages,
        "filter": count_reasons(verdicts.values()),
        "proposals": describe_proposals(work),
    }
