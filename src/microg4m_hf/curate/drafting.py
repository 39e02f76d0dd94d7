"""Draft texts with any vision-language model: a caption per clip, a refined one after a person's edits, questions.

Every request is an item of the journal in ``stages/texts``, named after the clip, the step and what the step read. So
an edited caption makes new items, and nothing that is finished is asked again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from ..clip_ids import source_of
from ..errors import RecipeError, SourceError
from ..inference.items import BASELINES, ClipQueries, Query, TextSettings, select_pending
from ..inference.journal import Journal
from ..inference.run import Runner, sum_usage
from ..inference.text_prediction import check_runner_options, make_runner, resolve_settings
from ..runtime import progress, rank_and_world_size
from ..storage import write_atomic
from .question_rules import PROPOSED, UNANSWERABLE, choose_questions, parse_proposals
from .review_log import Event, read_events
from .reviews import active_events

if TYPE_CHECKING:
    from ..inference.api.client import Endpoint
    from ..inference.isolated.runner import IsolatedEnvironment
    from ..inference.vlm.loading import Placement

FOLDER = Path("stages", "texts")
STEPS = ("caption", "refine", "questions")

CAPTION = (
    "This clip of three seconds was recorded in microgravity. Describe in three to five sentences who is there and "
    "what they wear, what each person does, which objects they hold or touch, and their surroundings. Say only what "
    "can be seen. Write the description only."
)
REFINE = (
    "A person corrected the description of this clip:\n{caption}\n\nImprove its language only: grammar, order, "
    "repetitions. Keep every fact, add none. Write the description only."
)
QUESTIONS = (
    "The description of this clip is:\n{caption}\n\nWrite {proposed} questions about the clip with short answers. "
    "Take every answer from the description, in its words, and ask about different parts of it. Let exactly one "
    'question, the last one, ask what the description does not tell; its answer is "{unanswerable}". Reply with a '
    'JSON list: [{{"Q": "…", "A": "…"}}, …].'
)


@dataclass
class Drafts:
    """What the model proposes for a clip. Nothing of it is released until a person accepts it."""

    caption: str | None = None
    refined: str | None = None  # of the caption that a person wrote last
    questions: list[dict[str, str]] = field(default_factory=list)  # ranked and filtered
    dropped: list[dict[str, str]] = field(default_factory=list)  # the other proposals, with the reason
    failed: dict[str, str] = field(default_factory=dict)  # step -> why


def draft_texts(
    work: str | os.PathLike[str],
    settings: TextSettings,
    *,
    clips: Iterable[str] | None = None,
    retry_failed: bool = False,
    placement: Placement | None = None,
    endpoint: Endpoint | None = None,
    environment: IsolatedEnvironment | None = None,
) -> dict[str, Any]:
    """Draft what is missing: captions, refined captions after edits, and questions about the final captions.

    The final caption is what a person wrote or accepted last, else the draft. Call it again after a review, or with the
    same arguments to resume; under ``torchrun``, each process takes its share of the clips.

    Args:
        work: The work folder.
        settings: The model, see :func:`text_settings`.
        clips: The names of the clips; by default all that are cut.
        retry_failed: Ask again what failed before.
        placement: For the local runner, as for :func:`microg4m_hf.inference.predict_texts`.
        endpoint: For the API runner.
        environment: For the isolated runner.

    Returns:
        The summary that ``stages/texts/results.json`` holds: items finished, failed and missing, proposals kept and
        dropped with reasons, tokens and cost.

    Raises:
        RecipeError: The settings cannot be used.
        SourceError: A clip is not there.
        ServerError: The server fails on every item. What is finished is kept.
    """
    if settings.model in BASELINES:
        raise RecipeError(f"--model {settings.model} writes no texts of its own; give a model or a server")
    check_runner_options(settings, placement=placement, endpoint=endpoint, environment=environment)
    settings = resolve_settings(settings, environment)
    names = sorted(_cut_clips(work) if clips is None else clips)
    videos = {name: clip_file(work, name) for name in names}
    missing = next((name for name, path in videos.items() if not path.is_file()), None)
    if missing is not None:
        raise SourceError(f"the clip {videos[missing]} is missing; run `microg4m curate run {work} --until cut` first")
    rank, world_size = rank_and_world_size()
    return draft_share(
        work, settings, names, names[rank::world_size], rank, retry_failed=retry_failed,
        placement=placement, endpoint=endpoint, environment=environment,
    )  # fmt: skip


def draft_share(
    work: str | os.PathLike[str],
    settings: TextSettings,
    names: list[str],
    share: list[str],
    rank: int,
    *,
    retry_failed: bool = False,
    placement: Placement | None = None,
    endpoint: Endpoint | None = None,
    environment: IsolatedEnvironment | None = None,
) -> dict[str, Any]:
    """Draft what is missing for the clips of one process, and return the summary of all clips.

    Args:
        work: The work folder.
        settings: The settings, see :func:`microg4m_hf.inference.resolve_settings`.
        names: All clips.
        share: Those of this process. It takes each of them through all steps, so it waits for no other process.
        rank: The number of this process.
        retry_failed: As for :func:`draft_texts`.
        placement: As for :func:`draft_texts`.
        endpoint: As for :func:`draft_texts`.
        environment: As for :func:`draft_texts`.
    """
    folder = Path(work) / FOLDER
    write_atomic(folder / "settings.json", json.dumps(settings.to_dict(), indent=1))
    runner: Runner | None = None
    done = 0
    with Journal(folder, settings.fingerprint, rank) as journal:
        for step in STEPS:
            records = journal.records()
            events = _events_by_clip(work)
            queries = [
                ClipQueries(str(clip_file(work, name)), name, (query,))
                for name in share
                if (query := _query(step, name, events.get(name, []), records)) is not None
            ]
            pending = select_pending(queries, records, retry_failed)
            if not pending:
                continue
            runner = runner or make_runner(settings, placement=placement, endpoint=endpoint, environment=environment)
            for query, record in progress(runner(pending), f"texts: {step}", total=len(pending)):
                journal.add({"id": query.id, **record})
                done += 1
    return _summarize(work, settings, names) | {"done_now": done}


def text_settings(model: str, **options: Any) -> TextSettings:
    """Return the settings of a model for drafts: the prompts of this file, and room for ten questions.

    Args:
        model: A Hub id, a folder, or the name of a served model.
        options: Other fields of :class:`microg4m_hf.inference.TextSettings`.

    Example:
        >>> text_settings("m", runner="api").max_new_tokens
        1024
    """
    fixed = {"task": "vqa", "prompts": "plain", "model": model}
    return TextSettings(**{"max_new_tokens": 1024, **options, **fixed})


def read_drafts(work: str | os.PathLike[str], clips: Iterable[str] | None = None) -> dict[str, Drafts]:
    """Return the proposals for each clip, with the newest settings; nothing for clips that were not asked about.

    Args:
        work: The work folder.
        clips: The names of the clips; by default all that are cut.
    """
    records = read_text_records(work)
    if not records:
        return {}
    events = _events_by_clip(work)
    return {name: clip_drafts(name, records, events.get(name, [])) for name in (clips or sorted(_cut_clips(work)))}


def clip_drafts(name: str, records: Mapping[str, Mapping[str, Any]], events: Iterable[Event]) -> Drafts:
    """Return the proposals for one clip from the records of the journal.

    Args:
        name: The clip.
        records: The records of the journal by item.
        events: The events of the clip, see :func:`microg4m_hf.curate.reviews.fold_clip`.
    """
    drafts = Drafts()
    known = list(events)
    for step in STEPS:
        query = _query(step, name, known, records)
        record = records.get(query.id) if query else None
        if record is None:
            continue
        if record["status"] != "ok":
            drafts.failed[step] = f"{record.get('kind', 'error')}: {record.get('why', '')}"
        elif step == "caption":
            drafts.caption = record["text"].strip()
        elif step == "refine":
            drafts.refined = record["text"].strip()
        else:
            proposals = parse_proposals(record["text"])
            drafts.questions, drafts.dropped = choose_questions(proposals, _final_caption(name, known, records) or "")
            if not proposals:
                drafts.failed[step] = "unreadable: the reply holds no questions with answers"
    return drafts


def clip_file(work: str | os.PathLike[str], video_id: str) -> Path:
    """Return where the stage ``cut`` puts a clip."""
    return Path(work) / "clips" / source_of(video_id) / f"{video_id}.mp4"


def _cut_clips(work: str | os.PathLike[str]) -> set[str]:
    return {path.stem for path in (Path(work) / "clips").glob("*/*.mp4")}


def _events_by_clip(work: str | os.PathLike[str]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in read_events(work):
        found.setdefault(event.clip, []).append(event)
    return found


def read_text_records(work: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Return the records of the stage with the newest settings, by item; nothing if no model was asked."""
    try:
        given = json.loads((Path(work) / FOLDER / "settings.json").read_text(encoding="utf-8"))
        renamed = {"pick": "frame_sampling", "quantisation": "quantization"}
        settings = TextSettings(**{renamed.get(name, name): value for name, value in given.items()})
    except (OSError, ValueError, TypeError):
        return {}
    return Journal(Path(work) / FOLDER, settings.fingerprint).records()


def _query(step: str, name: str, events: list[Event], records: Mapping[str, Mapping[str, Any]]) -> Query | None:
    """The request of a step, None where it has nothing to work on yet."""
    if step == "caption":
        return Query(f"{name}:caption", CAPTION)
    if step == "refine":
        text = _edited_caption(name, events, records)
        prompt = REFINE.format(caption=text)
    else:
        text = _final_caption(name, events, records)
        prompt = QUESTIONS.format(caption=text, proposed=PROPOSED, unanswerable=UNANSWERABLE)
    return Query(f"{name}:{step}:{_digest(text)}", prompt) if text else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _captions(events: Iterable[Event]) -> list[str]:
    return [event.values["text"].strip() for event in active_events(events) if event.do == "caption"]


def _draft(name: str, records: Mapping[str, Mapping[str, Any]]) -> str | None:
    record = records.get(f"{name}:caption", {})
    return record["text"].strip() if record.get("status") == "ok" else None


def _final_caption(name: str, events: Iterable[Event], records: Mapping[str, Mapping[str, Any]]) -> str | None:
    captions = _captions(events)
    return (captions[-1] if captions else _draft(name, records)) or None


def _edited_caption(name: str, events: Iterable[Event], records: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The newest caption, if a person wrote it: what a person accepted from the model is not refined again."""
    captions = _captions(events)
    proposed = {_draft(name, records)}
    for text in captions:
        record = records.get(f"{name}:refine:{_digest(text)}", {})
        proposed.add(record["text"].strip() if record.get("status") == "ok" else None)
    return captions[-1] if captions and captions[-1] and captions[-1] not in proposed else None


def _summarize(work: str | os.PathLike[str], settings: TextSettings, names: list[str]) -> dict[str, Any]:
    """Write and return ``results.json``; any process may do so at any time."""
    folder = Path(work) / FOLDER
    with FileLock(folder / ".merge.lock"):
        journal = Journal(folder, settings.fingerprint)
        records, events = journal.records(), _events_by_clip(work)
        counts: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        failures = []
        kept = short = unreadable = 0
        for name in names:
            for step in STEPS:
                query = _query(step, name, events.get(name, []), records)
                record = records.get(query.id) if query else None
                if query is not None:
                    counts["missing" if record is None else "finished" if record["status"] == "ok" else "failed"] += 1
                elif step == "questions":
                    counts["missing"] += 1  # its caption is missing or failed
                if query is not None and record is not None and record["status"] != "ok":
                    failures.append({"id": query.id, "kind": record.get("kind", "error"), "why": record.get("why", "")})
            drafts = clip_drafts(name, records, events.get(name, []))
            kept += len(drafts.questions)
            dropped.update(_rule_of(one["why"]) for one in drafts.dropped)
            short += 0 < len(drafts.questions) < 6
            unreadable += drafts.failed.get("questions", "").startswith("unreadable")
        summary = {
            "run": settings.fingerprint,
            **{name: counts[name] for name in ("finished", "failed", "missing")},
            "questions_kept": kept,
            "questions_dropped": dict(dropped.most_common()),
            "clips_with_fewer_questions": short,
            "clips_with_unreadable_questions": unreadable,
            "failures": failures,
            **sum_usage(journal.all_records()),
            "settings": settings.to_dict(),
        }
        write_atomic(folder / "results.json", json.dumps(summary, indent=1, ensure_ascii=False))
        return summary


def _rule_of(why: str) -> str:
    return "less than half of the answer is in the caption" if "%" in why else why
