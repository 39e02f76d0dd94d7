"""One run of captions or answers: what is missing is done, written down at once, and merged at the end."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..errors import RecipeError, ServerError
from ..runtime import describe_environment, progress
from ..storage import write_atomic
from .items import ClipQueries, Query, TextSettings, share_of, still_to_do
from .journal import Journal

# What a run cost and where it failed, counted over everything that its processes wrote down.


def usage(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums of tokens, money, requests and flags; tries that failed and were repeated cost, too. Only what occurs.

    >>> usage([{"tokens": {"in": 90, "out": 4}, "cost": 0.5}, {"tokens": {"in": 10}, "flags": ["cut"]}])
    {'tokens': {'in': 100, 'out': 4}, 'cost': 0.5, 'flags': {'cut': 1}}
    >>> usage([{"status": "ok", "text": "Two people."}])
    {}
    """
    tokens: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    models: set[str] = set()
    cost, requests, priced = 0.0, 0, False
    for record in records:
        used = record.get("tokens")
        if isinstance(used, dict):  # journals may have been edited
            tokens.update({name: count for name, count in used.items() if isinstance(count, int)})
        if isinstance(record.get("flags"), list):
            flags.update(str(flag) for flag in record["flags"])
        if isinstance(record.get("requests"), int):
            requests += record["requests"]
        if isinstance(record.get("served"), str):
            models.add(record["served"])
        if isinstance(record.get("cost"), int | float):
            cost, priced = cost + record["cost"], True
    found: dict[str, Any] = {
        "requests": requests,
        "tokens": dict(tokens),
        "cost": round(cost, 6) if priced else None,
        "flags": dict(flags),
        "served": sorted(models),
    }
    return {name: value for name, value in found.items() if value or (name == "cost" and value is not None)}


# A runner takes clips and yields ``(query, record)`` for each thing asked: ``{"status": "ok", "text": …}`` or
# ``{"status": "failed", "why": …}``, in any order. What else a record holds (tokens, seconds) is summed up.
Runner = Callable[[Sequence[ClipQueries]], Iterator[tuple[Query, dict[str, Any]]]]


def run(
    settings: TextSettings,
    work: Sequence[ClipQueries],
    folder: str | os.PathLike[str],
    make_runner: Callable[[], Runner],
    *,
    retry_failed: bool = False,
    rank: int = 0,
    world: int = 1,
) -> dict[str, Any]:
    """Do this process's share of what is missing, then merge; returns a summary of all processes' work so far.

    ``make_runner`` is called only when something is missing: a finished run loads no model. A process's share
    depends on nothing but its rank, so processes that start at different moments still divide the work without a gap.
    """
    place = Path(folder)
    begin(place, settings)
    began, count = time.perf_counter(), 0
    with Journal(place, settings.fingerprint, rank) as journal:
        missing = still_to_do(share_of(list(work), rank, world), journal.records(), retry_failed)
        if missing:
            runner = make_runner()
            write_atomic(place / "environment.json", json.dumps(describe_environment(world), indent=1))
            asked = sum(len(clip.queries) for clip in missing)
            what = "captioning" if settings.task == "caption" else "answering"
            for query, record in progress(runner(missing), what, total=asked):
                journal.add({"id": query.id, **record})
                count += 1
    seconds = time.perf_counter() - began
    summary = merge(place, settings, work)
    return summary | {"done_now": count, "seconds_now": round(seconds, 2)}


def begin(folder: Path, settings: TextSettings) -> None:
    """Write the settings, or refuse a folder that holds a run with others."""
    path = folder / "settings.json"
    if path.exists():
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise RecipeError(f"{path} is not the settings of a run; give --out another folder") from None
        new = settings.to_dict()
        changed = [f"{key}: {old.get(key)!r} -> {new[key]!r}" for key in new if old.get(key) != new[key]]
        if changed:
            raise RecipeError(
                f"{folder} holds a run with other settings ({'; '.join(changed)}); give --out another folder"
            )
    else:
        write_atomic(path, json.dumps(settings.to_dict(), indent=1))


def merge(folder: Path, settings: TextSettings, work: Sequence[ClipQueries]) -> dict[str, Any]:
    """Write ``predictions.jsonl``, sorted like the work, and count what is there, failed and missing.

    Any process may merge at any time: the file is replaced whole and holds what is finished so far. One merges after
    the other, so the last one to finish, who sees everything, also writes last.
    """
    with FileLock(folder / ".merge.lock"):
        return _merge(folder, settings, work)


def _merge(folder: Path, settings: TextSettings, work: Sequence[ClipQueries]) -> dict[str, Any]:
    journal = Journal(folder, settings.fingerprint)
    records = journal.records()
    lines, finished, failed, missing = [], [], [], 0
    for clip in work:
        for query in clip.queries:
            record = records.get(query.id)
            if record is None:
                missing += 1
            elif record["status"] != "ok":
                failed.append({"id": query.id, "kind": str(record.get("kind", "error")), "why": record.get("why", "")})
            else:
                finished.append(record)
                row = _prediction(settings, clip, query, record["text"])
                lines.append(json.dumps(row, ensure_ascii=False))
    write_atomic(folder / "predictions.jsonl", "".join(line + "\n" for line in lines))
    summary = {
        "task": settings.task,
        "run": settings.fingerprint,
        "finished": len(lines),
        "failed": len(failed),
        "missing": missing,
        **_rates(finished),
        "failed_kinds": dict(Counter(item["kind"] for item in failed).most_common()),
        "failures": failed,
        **usage(journal.everything()),
        "settings": settings.to_dict(),
        "predictions": str(folder / "predictions.jsonl"),
    }
    write_atomic(folder / "results.json", json.dumps(summary, indent=1, ensure_ascii=False))
    return summary


def _rates(finished: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Speed and hits of a local model; seconds are those of all processes together, without loading."""
    timed = [record for record in finished if "seconds" in record]
    seconds = sum(record["seconds"] for record in timed)
    if not seconds:
        return {}
    return {
        "seconds": round(seconds, 2),
        "items_per_second": round(len(timed) / seconds, 3),
        "tokens_per_second": round(sum(record["tokens"]["out"] for record in timed) / seconds, 1),
        "prefix_hit_rate": round(sum(record["shared_prefix"] for record in timed) / len(timed), 4),
    }


def _prediction(settings: TextSettings, clip: ClipQueries, query: Query, text: str) -> dict[str, Any]:
    row = {"video_id": clip.video_id}
    if settings.task == "caption":
        row |= {"caption": text}
    else:
        row |= {"question_id": query.id, "question": str(query.question), "answer": text}
    return row | {"run": settings.fingerprint}


# When every item fails, the fault is not the items': the run stops, and none of them is marked.

Results = Iterator[tuple[Query, dict[str, Any]]]


def stop_when_hopeless(results: Results, where: str, own_fault: Container[str], limit: int) -> Results:
    """Hand on results; failures of other kinds than ``own_fault`` are held back until something else comes.

    ``limit`` of them in a row end the run with ``ServerError``. They stay missing and come again with the same
    command. One such failure among successes is the item's, and its record.
    """
    held: list[tuple[Query, dict[str, Any]]] = []
    for query, record in results:
        held.append((query, record))
        if record["status"] == "ok" or record["kind"] in own_fault:
            yield from held
            held.clear()
        elif len(held) >= limit:
            raise ServerError(
                f"{where}: {limit} items in a row failed, the last one: {record['why']}; "
                "what is finished is kept, the same command goes on"
            )
    yield from held
