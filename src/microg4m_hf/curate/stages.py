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
from ..runtime import progress
from .clips.cut import cut_source, is_cut
from .clips.shots import measure_shots
from .people.detectors import Detector, load_detector
from .people.quarter_turns import detect_people
from .people.tracks import make_tracks
from .verdicts import Verdict, count_reasons, judge_clips, write_verdicts
from .work import ClipRecord, Source, Work, item_id

STAGES = ("cut", "shots", "people", "tracks", "filter")
_DOING = {"cut": "cutting", "shots": "finding shots", "people": "finding people", "tracks": "tracking"}


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
    until: str = "filter",
    options: Options | None = None,
    executor: Executor | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> dict[str, Any]:
    """Run what is missing, up to a stage, and return the state of all stages.

    Args:
        work: The work folder.
        until: The last stage to run.
        options: Batch size, accepted licenses, and whether failed items are tried again.
        executor: Runs the items of a stage; by default this process does, one after the other.
        rank: The number of this process.
        world_size: The number of processes.

    Raises:
        RecipeError: If there is no such stage.
    """
    if until not in STAGES:
        raise RecipeError(f"until is {until!r}, it can be {', '.join(STAGES)}")
    options = options or Options()
    mine = divide_sources(work.sources(), rank, world_size)
    for stage in STAGES[: STAGES.index(until) + 1]:
        if stage == "filter":
            judge_work(work)
            continue
        items = stage_items(work, stage, mine)
        with work.journal(stage, rank) as journal:
            pending = select_missing(work, stage, items, journal.records(), options.retry_failed)
            results = (executor or run_here)(stage, work, pending, options) if pending else iter(())
            shown = progress(results, _DOING[stage], total=len(items), initial=len(items) - len(pending))
            for item, record in shown:
                journal.add({"id": item, **record})
    return describe_work(work)


def divide_sources(sources: list[Source], rank: int, world_size: int) -> list[Source]:
    """Return the films of one process."""
    return [source for place, source in enumerate(sources) if place % world_size == rank]


def stage_items(work: Work, stage: str, sources: Sequence[Source]) -> list[Item]:
    """Return the items of a stage that can be run: for later stages, those whose earlier stage succeeded."""
    if stage == "cut":
        return [Item(item_id(source.source, source.sha256), source, source.sha256) for source in sources]
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
            or (record["status"] == "ok" and not _is_in_place(work, stage, item))
        ):
            missing.append(item)
    return missing


def _is_in_place(work: Work, stage: str, item: Item) -> bool:
    if stage == "cut":
        assert isinstance(item.subject, Source)
        return is_cut(work, item.subject)
    if stage == "shots":
        return True
    assert isinstance(item.subject, ClipRecord)
    return work.has_result(stage, item.subject.video_id, work.result_key(stage, item.content))


def run_here(stage: str, work: Work, items: Sequence[Item], options: Options) -> Iterator[tuple[str, Record]]:
    """Run items in this process."""
    detector = load_stage_detector(stage, work, options)
    for item in items:
        yield item.id, run_item(stage, work, item, detector)


def load_stage_detector(stage: str, work: Work, options: Options) -> Detector | None:
    """Return the detector of the stage ``people``, None for other stages."""
    if stage != "people":
        return None
    settings = work.settings.people
    return load_detector(settings, accept_license=options.accept_license, batch_size=options.batch_size)


def run_item(stage: str, work: Work, item: Item, detector: Detector | None = None) -> Record:
    """Run a stage on one item and return its record; a film or clip that cannot be read is a failure with a reason."""
    try:
        if isinstance(item.subject, Source):
            return cut_source(work, item.subject)
        if stage == "shots":
            return measure_shots(work, item.subject)
        if stage == "people":
            assert detector is not None
            return detect_people(work, item.subject, detector)
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
    """Return for every stage how many items are done, failed and missing, and why clips were dropped."""
    sources = work.sources()
    stages: dict[str, Any] = {}
    for stage in STAGES[:-1]:
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
    }
