"""Write a release from a work folder: the clips that are kept, in exactly the layout of MicroG-4M."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .._version import __version__
from ..data.check import check
from ..data.export_ava import FILES, ava_lines
from ..data.orientation import COLUMNS
from ..data.release.clip_files import clip_path
from ..data.release.layout import CURATED
from ..data.release.release import Release, read_release
from ..data.sample.write import label_map_text
from ..data.splits import split_of
from ..data.tables import har_table
from ..errors import DataError, SourceError, list_some
from ..runtime import progress
from ..storage import atomic_folder, write_atomic
from ..taxonomy import ACTION_IDS
from .angles import FILE as ORIENTATION, Angle, find_angles, read_detected
from .dataset_card import render_dataset_card
from .footage import check_license
from .reviews import ReviewedClip, reviewed_state
from .verdicts import NOT_JUDGED, Verdict, count_reasons, judge_clips
from .work import ClipRecord, Source, Work

_SPLIT_SCHEME = "source_disjoint"


@dataclass
class ClipContent:
    """What a release says about one clip."""

    clip: ClipRecord
    boxes: list[list[Any]]  # frame_id, person_id, x1, y1, x2, y2
    actions: dict[int, list[int]] = field(default_factory=dict)  # of each person
    caption: str = ""
    questions: list[tuple[str, str]] = field(default_factory=list)
    reviewed: bool = False
    angles: dict[int, dict[int, Angle]] = field(default_factory=dict)  # of each person, by frame


def release_work(
    work: Work, out: str | os.PathLike[str], *, unreviewed: bool = False, rule: str = "unanimous"
) -> dict[str, Any]:
    """Write a release and check it.

    A release that this function wrote before is replaced when the new one is complete; another folder is never touched.

    Args:
        work: The work folder.
        out: The folder of the release.
        unreviewed: Also release clips that nobody has reviewed, with what is known of them.
        rule: How judgments of several reviewers become one: ``"unanimous"``, ``"majority"`` or ``"newest"``.

    Returns:
        The folder, numbers of clips, people, boxes and sources, the clips of each split, and notes of ``data check``.

    Raises:
        DataError: If clips are not judged or not reviewed, a film has no license, or the release would have faults.
        SourceError: If ``out`` is a folder with something else in it.
    """
    folder = Path(out).expanduser()
    if folder.exists() and not (folder / CURATED).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise SourceError(f"{folder} exists and is no release of a curation; name a new folder with --out")
    verdicts = judge_clips(work)
    contents = collect_contents(work, verdicts, unreviewed=unreviewed, rule=rule)
    used = {content.clip.source for content in contents}
    sources = [source for source in work.sources() if source.source in used]
    for source in sources:
        if not source.license:
            hint = "write it into sources.csv of the work folder, or run init again with --sources"
            raise DataError("the film has no license", file=work.folder / "sources.csv", value=source.source, hint=hint)
        check_license(source.license, work.folder / "sources.csv")
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    with atomic_folder(folder, replace=True) as scratch:
        _write_annotations(scratch, contents, sources)
        for content in progress(contents, "copying clips", unit="clip"):
            _copy_clip(content.clip, scratch)
        release = read_release(scratch, need={"har", "caption"})
        splits = _write_key_frames(release, scratch / "train_ready")
        summary: dict[str, Any] = {
            "clips": len(contents),
            "people": len({(row.clip.video_id, box[1]) for row in contents for box in row.boxes}),
            "boxes": sum(len(row.boxes) for row in contents),
            "labels": sum(len(actions) for row in contents for actions in row.actions.values()),
            "captions": sum(bool(row.caption) for row in contents),
            "questions": sum(len(row.questions) for row in contents),
            "angles": sum(len(found) for row in contents for found in row.angles.values()),
            "sources": len(sources),
            "splits": {split: clips for split, (clips, _) in splits.items()},
        }
        reasons = count_reasons(verdicts.values())
        reviewed = sum(row.reviewed for row in contents)
        sentence = f"People reviewed {reviewed:,} of the {len(contents):,} clips."
        card = render_dataset_card(
            folder.resolve().name, work.settings, sources, Counter(row.clip.source for row in contents),
            people=summary["people"], splits=splits, reasons=reasons, reviewed=sentence,
        )  # fmt: skip
        write_atomic(scratch / "README.md", card)
        marker = {
            "microg4m-hf": __version__,
            **summary,
            "filter": reasons,
            "settings": _public_settings(work),
        }
        write_atomic(scratch / CURATED, json.dumps(marker, indent=1, ensure_ascii=False) + "\n")
        report = check(scratch)
        if report["faults"]:
            raise DataError(
                f"the release would have {report['faults']} faults, the first: {report['problems'][0]['text']}",
                hint="correct the clip with `microg4m curate review`",
            )
    return {"folder": str(folder), **summary, "notes": report["notes"]}


def _public_settings(work: Work) -> dict[str, Any]:
    """The settings without the places of this machine and its servers."""
    settings = asdict(work.settings)
    for name in ("base_url", "key_env", "python"):
        del settings["texts"][name]
    return settings


def collect_contents(
    work: Work, verdicts: dict[str, Verdict], *, unreviewed: bool, rule: str = "unanimous"
) -> list[ClipContent]:
    """Return what the release says about each of its clips, sorted by name. Reviewers overrule the filter."""
    waiting = [
        one.video_id
        for one in verdicts.values()
        if one.reason == NOT_JUDGED or (one.kept and not work.result_path("tracks", one.video_id).is_file())
    ]
    if waiting:
        problem = f"{len(waiting)} clips are not finished ({list_some(waiting)})"
        raise DataError(problem, file=work.folder, hint="run `microg4m curate run`")
    states = reviewed_state(work.folder, rule=rule, clips=verdicts)
    contents, open_clips, disputed = [], [], []
    for clip in sorted(work.clips(), key=lambda clip: clip.video_id):
        state, kept = states[clip.video_id], verdicts[clip.video_id].kept
        if state.status == "reviewed":
            kept = bool(state.keep)
        elif state.status == "disputed":
            disputed.append(clip.video_id)
        elif kept:
            open_clips.append(clip.video_id)
        if kept:
            contents.append(_content_of(clip, state, read_detected(work, clip.video_id)))
    if disputed and not unreviewed:
        hint = "settle them on the review page, or pass rule='majority' or rule='newest'"
        raise DataError(
            f"reviewers disagree on {len(disputed)} clips ({list_some(disputed)})", file=work.folder, hint=hint
        )
    if open_clips and not unreviewed:
        hint = "review them with `microg4m curate review`, or pass unreviewed="
        raise DataError(
            f"{len(open_clips)} clips are not reviewed ({list_some(open_clips)})", file=work.folder, hint=hint
        )
    if not contents:
        reasons = ", ".join(f"{reason} {count}" for reason, count in count_reasons(verdicts.values()).items())
        problem = f"no clip is left to release ({reasons or 'there are no clips'})"
        hint = "keep clips with `microg4m curate review`" if verdicts else "run `microg4m curate run` first"
        raise DataError(problem, file=work.folder, hint=hint)
    return contents


def _content_of(clip: ClipRecord, state: ReviewedClip, detected: dict[str, Any] | None) -> ClipContent:
    people = state.released_people()
    boxes = [[box.frame, number, *box.corners] for number, person in people.items() for box in person.boxes]
    return ClipContent(
        clip,
        sorted(boxes, key=lambda box: box[:2]),
        {number: sorted(person.actions) for number, person in people.items()},
        state.caption or "",
        [(pair["Q"], pair["A"]) for pair in state.questions or ()],
        state.status == "reviewed",
        {number: find_angles(person.boxes, person.marks, detected) for number, person in people.items()},
    )


def _write_annotations(folder: Path, contents: Sequence[ClipContent], sources: Sequence[Source]) -> None:
    actions: list[tuple[str, str, int, int]] = []
    boxes: list[tuple[Any, ...]] = []
    texts: list[dict[str, Any]] = []
    for content in contents:
        video_id, letter = content.clip.video_id, content.clip.domain[0]
        for person, labels in sorted(content.actions.items()):
            actions += [(video_id, letter, person, label) for label in sorted(set(labels) & set(ACTION_IDS))]
        for frame, person, *corners in content.boxes:
            boxes.append((video_id, frame, person, *_whole_pixels(corners, content.clip)))
        if content.caption:
            pairs = [{"Q": question, "A": answer} for question, answer in content.questions]
            texts.append({"video_id": video_id, "caption": content.caption, "qa_pairs": pairs})
    angles = [
        (content.clip.video_id, frame, person, f"{angle.degrees:g}", angle.origin)
        for content in contents
        for person, found in sorted(content.angles.items())
        for frame, angle in sorted(found.items())
    ]
    labeled = {row[0] for row in actions}
    place = folder / "annotation_files"
    _write_csv(place / "actions.csv", ("video_id", "movie_or_real", "person_id", "action"), actions)
    header = ("video_id", "frame_id", "person_id", "xmin", "ymin", "xmax", "ymax")
    _write_csv(place / "bounding_boxes.csv", header, boxes)
    if angles:
        _write_csv(place / ORIENTATION, (*COLUMNS, "origin"), angles)
    if any(content.clip.video_id not in labeled for content in contents):
        clips = [(content.clip.video_id, content.clip.domain[0]) for content in contents]
        _write_csv(place / "clips.csv", ("video_id", "movie_or_real"), clips)
    write_atomic(folder / "vqa_and_captioning.json", json.dumps(texts, indent=2, ensure_ascii=False) + "\n")
    write_atomic(folder / "label_map" / "label_map.pbtxt", label_map_text())
    names = ("source", "sha256", "domain", "license", "url", "attribution")  # not where the film lies on this machine
    rows = [tuple(getattr(source, name) for name in names) for source in sources]
    _write_csv(folder / "sources.csv", names, rows)


def _whole_pixels(corners: Iterable[float], clip: ClipRecord) -> list[int]:
    """Return the corners in whole pixels, with at least one pixel between them."""
    x1, y1, x2, y2 = (round(value) for value in corners)
    x1, y1 = min(max(x1, 0), clip.width - 1), min(max(y1, 0), clip.height - 1)
    return [x1, y1, min(max(x2, x1 + 1), clip.width), min(max(y2, y1 + 1), clip.height)]


def _write_csv(path: Path, header: Sequence[str] | None, rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(header)
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


def _copy_clip(clip: ClipRecord, folder: Path) -> None:
    if not clip.path.is_file():
        raise DataError("the clip is missing", file=clip.path, hint="run `microg4m curate run` again")
    data = clip.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != clip.sha256:
        hint = "move the file away and run `microg4m curate run` again"
        raise DataError("the clip was changed after it was cut", file=clip.path, hint=hint)
    write_atomic(clip_path(folder / "videos", clip.domain, clip.source, clip.video_id), data)


def _write_key_frames(release: Release, folder: Path) -> dict[str, tuple[int, int]]:
    """Write the AVA-style files of all splits, and return clips and films of each split."""
    ids, films = release.clips["video_id"].to_pylist(), release.clips["source"].to_pylist()
    # One film cannot be divided.
    divided = len(set(films)) > 1
    split_of_clip = split_of(release, _SPLIT_SCHEME) if divided else dict.fromkeys(ids, "train")
    table = har_table(release)
    splits = pa.array([split_of_clip[video_id] for video_id in table["video_id"].to_pylist()], pa.string())
    every: list[str] = []
    found = {}
    for split, name in FILES.items():
        lines = ava_lines(table.filter(pc.equal(splits, split)))
        every += lines
        write_atomic(folder / name, "".join(f"{line}\n" for line in lines))
        if split != "train":
            # The form of a detector's output: the box, an empty action, a score.
            boxes = [",".join((*line.split(",")[:6], "", "1")) for line in lines]
            predicted = name.replace("_gt", "_predicted_boxes")
            write_atomic(folder / predicted, "".join(f"{line}\n" for line in boxes))
        members = [film for video_id, film in zip(ids, films, strict=True) if split_of_clip[video_id] == split]
        found[split] = len(members), len(set(members))
    write_atomic(folder / "ava_all.csv", "".join(f"{line}\n" for line in sorted(every)))
    return found
