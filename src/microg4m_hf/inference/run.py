"""One run of captions or answers: what is missing is done, written down at once, and merged at the end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..progress import progress
from ..storage import write_atomic
from .items import Ask, ClipWork, share_of, still_to_do
from .journal import Journal
from .settings import Settings
from .usage import usage

# A runner takes clips and yields ``(ask, record)`` for each thing asked: ``{"status": "ok", "text": …}`` or
# ``{"status": "failed", "why": …}``, in any order.
Runner = Callable[[Sequence[ClipWork]], Iterator[tuple[Ask, dict[str, Any]]]]


def run(
    settings: Settings,
    work: Sequence[ClipWork],
    folder: str | os.PathLike[str],
    make_runner: Callable[[], Runner],
    *,
    retry_failed: bool = False,
    rank: int = 0,
    world: int = 1,
) -> dict[str, Any]:
    """Do this process's share of what is missing, then merge; returns a summary of all processes' work so far.

    ``make_runner`` is called only when something is missing: a finished run loads no model.
    """
    place = Path(folder)
    begin(place, settings)
    journal = Journal(place, settings.fingerprint, rank)
    missing = share_of(still_to_do(work, journal.records(), retry_failed), rank, world)
    began, count = time.perf_counter(), 0
    if missing:
        runner = make_runner()
        asked = sum(len(clip.asks) for clip in missing)
        what = "captioning" if settings.task == "caption" else "answering"
        with journal:
            for ask, record in progress(runner(missing), what, total=asked):
                journal.add({"id": ask.id, **record})
                count += 1
    seconds = time.perf_counter() - began
    summary = merge(place, settings, work)
    return summary | {"done_now": count, "seconds_now": round(seconds, 2)}


def begin(folder: Path, settings: Settings) -> None:
    """Write the settings, or refuse a folder that holds a run with others."""
    path = folder / "settings.json"
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        new = settings.to_dict()
        changed = [f"{key}: {old.get(key)!r} -> {new[key]!r}" for key in new if old.get(key) != new[key]]
        if changed:
            raise RecipeError(
                f"{folder} holds a run with other settings ({'; '.join(changed)}); give --out another folder"
            )
    else:
        write_atomic(path, json.dumps(settings.to_dict(), indent=1))


def merge(folder: Path, settings: Settings, work: Sequence[ClipWork]) -> dict[str, Any]:
    """Write ``predictions.jsonl``, sorted like the work, and count what is there, failed and missing.

    Any process may merge at any time: the file is replaced whole and holds what is finished so far.
    """
    journal = Journal(folder, settings.fingerprint)
    records = journal.records()
    lines, failed, missing = [], [], 0
    for clip in work:
        for ask in clip.asks:
            record = records.get(ask.id)
            if record is None:
                missing += 1
            elif record["status"] != "ok":
                failed.append({"id": ask.id, "kind": record.get("kind", "error"), "why": record.get("why", "")})
            else:
                lines.append(json.dumps(_prediction(settings.task, clip, ask, record["text"]), ensure_ascii=False))
    write_atomic(folder / "predictions.jsonl", "".join(line + "\n" for line in lines))
    summary = {
        "task": settings.task,
        "finished": len(lines),
        "failed": len(failed),
        "missing": missing,
        "failures": failed,
        **usage(journal.everything()),
        "settings": settings.to_dict(),
        "predictions": str(folder / "predictions.jsonl"),
    }
    write_atomic(folder / "results.json", json.dumps(summary, indent=1, ensure_ascii=False))
    return summary


def _prediction(task: str, clip: ClipWork, ask: Ask, text: str) -> dict[str, Any]:
    if task == "caption":
        return {"video_id": clip.video_id, "caption": text}
    return {"video_id": clip.video_id, "question_id": ask.id, "question": ask.question, "answer": text}
