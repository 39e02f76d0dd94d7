"""Let an action model propose actions for the people of a clip. Proposals are shown to reviewers and never ticked."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ClipError, ModelError, SourceError
from ..inference.journal import Journal
from ..runtime import local_device, progress, rank_and_world_size
from ..storage import write_atomic
from ..taxonomy import ACTION_IDS, ACTION_NAMES
from .drafting import clip_file
from .reviews import Box, ClipTracks, read_tracks

FOLDER = Path("stages", "actions")
SHOWN = 5  # proposals for each person
Proposals = dict[int, list[tuple[int, float]]]  # person -> action ids with scores, best first


def propose_actions(
    work: str | os.PathLike[str],
    model: str,
    *,
    clips: Iterable[str] | None = None,
    retry_failed: bool = False,
) -> dict[str, Any]:
    """Ask an action model about every person of the clips, at the key frame, the middle one of the person's frames.

    Call it again to resume; under ``torchrun``, each process takes its share of the clips.

    Args:
        work: The work folder.
        model: A training run, or a folder or Hub id of an action model.
        clips: The names of the clips; by default all with tracks.
        retry_failed: Ask again about clips that failed before.

    Returns:
        How many clips are finished, failed and missing, why some failed, and how many were done now.

    Raises:
        SourceError: A clip is not there.
        ModelError: The model cannot be loaded, or knows none of the 50 actions.
    """
    names = sorted({path.stem for path in (Path(work) / "tracks").glob("*.json")} if clips is None else clips)
    videos = {name: clip_file(work, name) for name in names}
    missing = next((name for name, path in videos.items() if not path.is_file()), None)
    if missing is not None:
        raise SourceError(f"the clip {videos[missing]} is missing; run `microg4m curate run {work} --until cut` first")
    rank, world_size = rank_and_world_size()
    pipe: Any = None
    done = 0
    with proposal_journal(work, model, rank) as journal:
        records = journal.records()
        tracks = {name: read_tracks(work, name) for name in names}
        items = {name: tracks_item(name, found) for name, found in tracks.items() if found.people}
        kept = ("ok",) if retry_failed else ("ok", "failed")
        pending = [name for name in items if records.get(items[name], {}).get("status") not in kept]
        pending = pending[rank::world_size]
        for name in progress(pending, "proposing actions", total=len(pending)):
            pipe = pipe or load_action_model(model)
            journal.add({"id": items[name], **propose_for_clip(work, name, pipe)})
            done += 1
        records = journal.records()
    found = [records[item] for item in items.values() if item in records]
    failures = {record["id"]: record.get("why", "") for record in found if record["status"] != "ok"}
    return {
        "finished": len(found) - len(failures),
        "failed": len(failures),
        "missing": len(items) - len(found),
        "failures": failures,
        "done_now": done,
    }


def proposal_journal(work: str | os.PathLike[str], model: str | None = None, rank: int = 0) -> Journal:
    """Return the journal of a model, which becomes the one whose proposals are shown; by default that of the last one.

    Args:
        work: The work folder.
        model: The model.
        rank: The number of this process.
    """
    folder = Path(work) / FOLDER
    if model is None:
        try:
            fingerprint = str(json.loads((folder / "settings.json").read_text(encoding="utf-8"))["run"])
        except (OSError, ValueError, LookupError, TypeError):
            fingerprint = ""
        return Journal(folder, fingerprint, rank, content="scores")
    settings = {"model": model, "weights": identify_model(model)}
    fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    write_atomic(folder / "settings.json", json.dumps({**settings, "run": fingerprint}, indent=1))
    return Journal(folder, fingerprint, rank, content="scores")


def propose_for_clip(work: str | os.PathLike[str], name: str, pipe: Any) -> dict[str, Any]:
    """Ask a model about every person of a clip and return the record for the journal.

    Args:
        work: The work folder.
        name: The clip.
        pipe: What `load_action_model` returned.
    """
    try:
        return {"status": "ok", "scores": _propose(pipe, clip_file(work, name), read_tracks(work, name))}
    except ClipError as error:
        return {"status": "failed", "kind": "decode", "why": " ".join(str(error).split())}


def read_proposals(work: str | os.PathLike[str]) -> dict[str, Proposals]:
    """Return the proposals of the model that was asked last, by clip; nothing if none was.

    Args:
        work: The work folder.
    """
    found: dict[str, Proposals] = {}
    for item, record in proposal_journal(work).records().items():
        if record["status"] == "ok":
            rows = record["scores"]
            found[item.partition("@")[0]] = {person: [(one, score) for one, score in ranked] for person, ranked in rows}
    return found


def tracks_item(name: str, tracks: ClipTracks) -> str:
    """Return the item of a clip in the journal: other tracks make another one."""
    content = json.dumps([[person, *boxes[0], *boxes[-1], len(boxes)] for person, boxes in tracks.people.items()])
    return f"{name}@{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def identify_model(model: str) -> str:
    """Return what identifies the weights of a model; an error says that there is no such model."""
    from ..inference.vlm.loading import identify_weights

    return model if model.startswith("released:") else identify_weights(model, None)


def load_action_model(model: str) -> Any:
    """Load the pipeline of a model, and refuse a model that knows other actions only."""
    from ..inference.har_pipeline import HarPipeline
    from ..models.processing import MicroG4MHarProcessor
    from ..training.predict_run import load_model, recipe_of

    network: Any = load_model(recipe_of(model))
    if not set(network.config.id2label.values()) & set(ACTION_NAMES):
        raise ModelError(f"{model} knows none of the 50 actions; use one that was trained on MicroG-4M")
    processor = MicroG4MHarProcessor.for_model(network.config)
    return HarPipeline(model=network.eval(), processor=processor, device=local_device())


def _propose(pipe: Any, video: Path, tracks: ClipTracks) -> list[list[Any]]:
    by_frame: dict[int, list[tuple[int, Box]]] = defaultdict(list)
    for person, boxes in tracks.people.items():
        middle = boxes[(len(boxes) - 1) // 2]  # as `data.release.key_frames` derives it
        by_frame[middle.frame].append((person, middle))
    id_of = dict(zip(ACTION_NAMES, ACTION_IDS, strict=True))
    rows = []
    for frame, people in sorted(by_frame.items()):
        size = (tracks.width, tracks.height) * 2
        places = [[value / side for value, side in zip(box.corners, size, strict=True)] for _, box in people]
        results = pipe({"video": str(video), "boxes": places, "center": frame - 1}, top_k=2 * SHOWN)
        for (person, _), result in zip(people, results, strict=True):
            ranked = [
                [id_of[one["label"]], round(one["score"], 4)] for one in result["actions"] if one["label"] in id_of
            ]
            rows.append([person, ranked[:SHOWN]])
    return sorted(rows)
