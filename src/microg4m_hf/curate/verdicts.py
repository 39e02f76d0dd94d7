"""The stage ``filter``: decide from the journals which clips are kept, each with a reason and a number."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np

from ..storage import write_atomic
from .clips.shots import hash_distance
from .protocols import FilterSettings
from .work import ClipRecord, Work, item_id

FILE = "stages/filter/verdicts.csv"
NOT_JUDGED = "not judged"
_BITS = 192


@dataclass(frozen=True)
class Verdict:
    """Whether a clip is kept. ``value`` is what was measured, ``limit`` what it was compared with."""

    video_id: str
    kept: bool
    reason: str = ""
    value: float | None = None
    limit: float | None = None
    other: str = ""  # the clip that a duplicate repeats, or a neighbor that a still run looks like


def judge_clips(work: Work) -> dict[str, Verdict]:
    """Return the verdict of every clip from what the stages before recorded; nothing is decoded.

    Args:
        work: The work folder.

    Returns:
        By clip. A clip that the stages have not finished is not kept, with the reason ``"not judged"``.
    """
    shots, people = work.records("shots"), work.records("people")
    settings = work.settings.filter
    found: dict[str, Verdict] = {}
    hashes: list[tuple[ClipRecord, str]] = []
    for clip in work.clips():
        key = item_id(clip.video_id, clip.sha256)
        records = [stage.get(key) for stage in (shots, people)]
        failed = [record for record in records if record is not None and record["status"] != "ok"]
        if failed:
            found[clip.video_id] = Verdict(clip.video_id, False, f"failed: {failed[0].get('why', '')}")
        elif not all(records):
            found[clip.video_id] = Verdict(clip.video_id, False, NOT_JUDGED)
        else:
            shot, best = records[0]["result"][0], records[1]["result"][0]["best_scores"]  # type: ignore[index]
            found[clip.video_id] = judge(clip.video_id, shot, best, settings)
            hashes.append((clip, shot["hash"]))
    kept = [(clip, value) for clip, value in hashes if found[clip.video_id].kept]
    for one, other, bits in duplicates(kept, settings.duplicate_bits):
        if found[one.video_id].kept:
            limit = settings.duplicate_bits
            found[other.video_id] = Verdict(other.video_id, False, "duplicate", bits, limit, one.video_id)
    return found


def judge(video_id: str, shot: dict[str, Any], best_scores: list[float], settings: FilterSettings) -> Verdict:
    """Return the verdict of one clip, without comparing it with others.

    Args:
        video_id: The clip.
        shot: What the stage ``shots`` measured.
        best_scores: The score of the surest person in each frame.
        settings: The section ``filter``.

    Example:
        >>> shot = {"cuts": [], "brightness": 90.0, "change": 4.0}
        >>> judge("ISS_004", shot, [0.9, 0.2], FilterSettings()).reason
        'few people'
    """
    share = float(np.mean(np.asarray(best_scores) > settings.person_score)) if best_scores else 0.0
    rules = (
        ("black", shot["brightness"] < settings.min_brightness, shot["brightness"], settings.min_brightness),
        ("still", shot["change"] < settings.min_change, shot["change"], settings.min_change),
        ("cut inside", len(shot["cuts"]) > settings.max_cuts, len(shot["cuts"]), settings.max_cuts),
        ("few people", share < settings.person_share, round(share, 4), settings.person_share),
    )
    for reason, applies, value, limit in rules:
        if applies:
            return Verdict(video_id, False, reason, value, limit)
    return Verdict(video_id, True, "", round(share, 4), settings.person_share)


def duplicates(clips: list[tuple[ClipRecord, str]], bits: int | None) -> Iterator[tuple[ClipRecord, ClipRecord, int]]:
    """Yield clips of different sources whose hashes differ in at most ``bits`` bits, in the order of the clips.

    Hashes that close agree in at least one of ``bits + 1`` parts, so only clips that share a part are compared.

    Args:
        clips: Clips with their hashes.
        bits: The largest difference; None finds nothing.
    """
    if bits is None:
        return
    parts = np.linspace(0, _BITS, bits + 2).astype(int)
    seen: dict[tuple[int, str], list[int]] = defaultdict(list)
    for place, (clip, value) in enumerate(clips):
        text = f"{int(value, 16):0{_BITS}b}"
        keys = [(number, text[start:end]) for number, (start, end) in enumerate(itertools.pairwise(parts))]
        for other in sorted({one for key in keys for one in seen[key]}):
            earlier, earlier_value = clips[other]
            if earlier.source != clip.source and (distance := hash_distance(earlier_value, value)) <= bits:
                yield earlier, clip, distance
        for key in keys:
            seen[key].append(place)


def write_verdicts(work: Work, verdicts: Iterable[Verdict]) -> None:
    """Write ``stages/filter/verdicts.csv``, for people to read."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Verdict)])
    writer.writerows(astuple(verdict) for verdict in verdicts)
    write_atomic(work.folder / FILE, text.getvalue())


def count_reasons(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Return how many clips were kept, and how many were dropped for each reason."""
    counts = Counter("kept" if verdict.kept else verdict.reason.partition(":")[0] for verdict in verdicts)
    return dict(counts.most_common())
