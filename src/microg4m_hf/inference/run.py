"""Run the pending queries of a run folder, record each result at once, and merge the journals into predictions.

A runner does the actual work. This module resumes, shards the clips over processes, and writes the files.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..data.run_data import RunData
from ..errors import RecipeError, ServerError
from ..runtime import describe_environment, progress
from ..storage import write_atomic
from .items import ClipQueries, Query, TextSettings, select_pending, shard
from .journal import Journal
from .turn_choice import choose_for_clip

# A record is ``{"status": "ok", "text": ...}`` or ``{"status": "failed", "kind": ..., "why": ...}``, and may hold more,
# such as "tokens" or "seconds", which the summary adds up.
Results = Iterator[tuple[Query, dict[str, Any]]]

# Failures that say nothing about the item when no item succeeds.
_OUTAGES = ("unreachable", "timeout", "server", "crowded", "malformed", "rejected")

# A runner yields one result per query, in any order.
Runner = Callable[[Sequence[ClipQueries]], Results]


def run(
    settings: TextSettings,
    clips: Sequence[ClipQueries],
    folder: str | os.PathLike[str],
    make_runner: Callable[[], Runner],
    data: RunData | None = None,
    *,
    retry_failed: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> dict[str, Any]:
    """Run this process's shard of the pending queries, then merge the results of all processes.

    The shard depends on the rank only, so processes that start at different times still cover all clips.

    ``make_runner`` is not called if nothing is pending, so a finished run loads no model. Returns the summary of all
    processes so far, as in ``results.json``. ``data`` is written to ``data.json``, for those who score the run.

    Raises:
        RecipeError: The folder holds a run with other settings, or another process writes to the same journal.
    """
    folder = Path(folder)
    start, count = time.perf_counter(), 0
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder, settings.fingerprint, rank)
    with contextlib.ExitStack() as writing:
        # In one go, so that the first process of a launch corrects the settings before its siblings write.
        with FileLock(folder / ".settings.lock"):
            _write_settings(folder, settings, journal)
            writing.enter_context(journal)
        if data is not None:
            data.write(folder)
        pending = select_pending(shard(list(clips), rank, world_size), journal.records(), retry_failed)
        if pending:
            runner = make_runner()
            write_atomic(folder / "environment.json", json.dumps(describe_environment(world_size), indent=1))
            total = sum(len(clip.queries) for clip in pending)
            label = "captioning" if settings.task == "caption" else "answering"
            for query, record in progress(runner(pending), label, total=total):
                journal.add({"id": query.id, **record})
                count += 1
    seconds = round(time.perf_counter() - start, 2)
    return merge(folder, settings, clips) | {"done_now": count, "seconds_now": seconds}


def _write_settings(folder: Path, settings: TextSettings, journal: Journal) -> None:
    """Write the settings of a new run, and of one that recorded nothing before its settings were corrected."""
    path, new = folder / "settings.json", settings.to_dict()
    try:
        old = dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (ValueError, TypeError):
        raise RecipeError(f"{path} is not valid JSON; choose another folder with --out") from None
    both = dict.fromkeys((*new, *old))
    changed = [f"{key}: {old.get(key)!r} -> {new.get(key)!r}" for key in both if old.get(key) != new.get(key)]
    if changed and old and not journal.is_unused():
        raise RecipeError(
            f"{folder} holds a run with other settings ({'; '.join(changed)}); choose another folder with --out"
        )
    if changed:
        write_atomic(path, json.dumps(new, indent=1))


def merge(folder: Path, settings: TextSettings, clips: Sequence[ClipQueries]) -> dict[str, Any]:
    """Write ``predictions.jsonl`` in the order of ``clips`` and ``results.json``, and return the summary.

    Any process may merge at any time. A lock orders the merges, so the last process to finish writes the complete file.
    """
    with FileLock(folder / ".merge.lock"):
        journal = Journal(folder, settings.fingerprint)
        records = journal.records()
        lines, finished, failed, missing = [], [], [], 0
        for clip in clips:
            if settings.turn_choice == "clip":
                own = [query.id for query in clip.queries if query.id in records]
                records |= zip(own, choose_for_clip([records[name] for name in own]), strict=True)
            for query in clip.queries:
                record = records.get(query.id)
                if record is None:
                    missing += 1
                elif record["status"] != "ok":
                    kind, why = str(record.get("kind", "error")), record.get("why", "")
                    failed.append({"id": query.id, "kind": kind, "why": why})
                else:
                    finished.append(record)
                    if settings.task == "caption":
                        row = {"caption": record["text"]}
                    else:
                        row = {"question_id": query.id, "question": str(query.question), "answer": record["text"]}
                    if "turn" in record:
                        row["turn"] = record["turn"]
                    row = {"video_id": clip.video_id, **row, "run": settings.fingerprint}
                    lines.append(json.dumps(row, ensure_ascii=False))
        write_atomic(folder / "predictions.jsonl", "".join(line + "\n" for line in lines))
        summary = {
            "task": settings.task,
            "run": settings.fingerprint,
            "finished": len(lines),
            "failed": len(failed),
            "missing": missing,
            **_throughput(finished),
            **_chosen_turns(finished),
            "failed_kinds": dict(Counter(item["kind"] for item in failed).most_common()),
            "failures": failed,
            **sum_usage(journal.all_records()),
            "settings": settings.to_dict(),
            "predictions": str(folder / "predictions.jsonl"),
        }
        write_atomic(folder / "results.json", json.dumps(summary, indent=1, ensure_ascii=False))
        return summary


def _throughput(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Speed, phases and prefix cache hits of a local model. Seconds are summed over processes and exclude loading."""
    timed = [record for record in records if "seconds" in record]
    seconds = sum(record["seconds"] for record in timed)
    if not seconds:
        return {}
    phases: Counter[str] = Counter()
    for record in timed:
        phases.update(record.get("phases", {}))
    return {
        "seconds": round(seconds, 2),
        **({"phases": {name: round(value, 3) for name, value in phases.items()}} if phases else {}),
        "items_per_second": round(len(timed) / seconds, 3),
        "tokens_per_second": round(sum(record["tokens"]["out"] for record in timed) / seconds, 1),
        "prefix_hit_rate": round(sum(record["shared_prefix"] for record in timed) / len(timed), 4),
    }


def _chosen_turns(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many texts are from each turn, if the model was asked under several."""
    turns = Counter(str(record["turn"]) for record in records if "turn" in record)
    return {"chosen_turns": dict(turns.most_common())} if turns else {}


def sum_usage(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum tokens, cost, requests and flags over all records, including retried failures. Omit what never occurs.

    >>> sum_usage([{"tokens": {"in": 90, "out": 4}, "cost": 0.5}, {"tokens": {"in": 10}, "flags": ["cut"]}])
    {'tokens': {'in': 100, 'out': 4}, 'cost': 0.5, 'flags': {'cut': 1}}
    >>> sum_usage([{"status": "ok", "text": "Two people."}])
    {}
    """
    tokens: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    models: set[str] = set()
    costs: list[float] = []
    requests = 0
    for record in records:
        used = record.get("tokens")
        if isinstance(used, dict):  # users may edit the journals
            tokens.update({name: count for name, count in used.items() if isinstance(count, int)})
        if isinstance(record.get("flags"), list):
            flags.update(str(flag) for flag in record["flags"])
        if isinstance(record.get("requests"), int):
            requests += record["requests"]
        if isinstance(record.get("served"), str):
            models.add(record["served"])
        if isinstance(record.get("cost"), int | float):
            costs.append(record["cost"])
    totals: dict[str, Any] = {
        "requests": requests,
        "tokens": dict(tokens),
        "cost": round(sum(costs, 0.0), 6) if costs else None,
        "flags": dict(flags),
        "served": sorted(models),
    }
    return {name: value for name, value in totals.items() if value or (name == "cost" and value is not None)}


def stop_after_failures(results: Results, source: str, item_kinds: Container[str], limit: int) -> Results:
    """Pass results on, and stop after ``limit`` consecutive failures: the setup is broken, not the items.

    Failures are withheld until a success follows, so the items of a broken setup stay missing and are retried by the
    same command. The same applies when there are fewer items than ``limit`` and the server answers none of them.

    Failures of the kinds in ``item_kinds`` are caused by the item itself and count as successes.
    """
    withheld: list[tuple[Query, dict[str, Any]]] = []
    succeeded = False
    for query, record in results:
        withheld.append((query, record))
        if record["status"] == "ok" or record["kind"] in item_kinds:
            succeeded = True
            yield from withheld
            withheld.clear()
        elif len(withheld) >= limit:
            raise ServerError(
                f"{source}: {limit} items in a row failed, the last one with: {record['why']}; "
                "finished items are kept, run the same command again to resume"
            )
    if withheld and not succeeded and all(record["kind"] in _OUTAGES for _, record in withheld):
        raise ServerError(
            f"{source}: no item was answered ({len(withheld)} tried), the last one failed with: "
            f"{withheld[-1][1]['why']}; run the same command again to retry"
        )
    yield from withheld
