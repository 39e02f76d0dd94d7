"""The work folder of a curation: settings, films, clips, journals of the stages, detections and tracks.

Each file names the settings that it was made with. A stage that runs with other settings moves the older files to
``older/`` and takes them back from there when the settings are changed back; nothing is deleted.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from ..clip_ids import split_clip_id
from ..errors import DataError, SourceError
from ..inference.journal import Journal
from ..storage import write_atomic
from .protocols import CurateSettings

SETTINGS, SOURCES = "curate.yaml", "sources.csv"
DOMAINS = ("real", "movie")
_HEAD = re.compile(rb'\{"key": "([0-9a-f-]+)"')


@dataclass(frozen=True)
class Source:
    """A film: a row of ``sources.csv``."""

    source: str
    path: str
    sha256: str
    domain: str
    license: str = ""
    url: str = ""
    attribution: str = ""


@dataclass(frozen=True)
class ClipRecord:
    """A clip as the stage ``cut`` recorded it."""

    video_id: str
    source: str
    domain: str
    sha256: str
    path: Path
    width: int
    height: int


class Work:
    """A work folder that `init_work` made.

    Args:
        folder: The folder.
        settings: The settings to use instead of those in ``curate.yaml``.

    Raises:
        SourceError: If the folder is no work folder.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: CurateSettings | None = None) -> None:
        self.folder = Path(folder).expanduser().absolute()
        if not (self.folder / SETTINGS).is_file() or not (self.folder / SOURCES).is_file():
            raise SourceError(
                f"{folder} is not a work folder; make one with `microg4m curate init VIDEOS --out {folder}`"
            )
        self.settings = settings or CurateSettings.load(self.folder / SETTINGS)

    def sources(self) -> list[Source]:
        """Return the films, in the order of ``sources.csv``."""
        return read_sources(self.folder / SOURCES)

    def clips(self) -> list[ClipRecord]:
        """Return the clips of the films that are cut with the current settings."""
        records = self.records("cut")
        found = []
        for source in self.sources():
            record = records.get(item_id(source.source, source.sha256))
            if record is not None and record["status"] == "ok":
                found += [self._clip(source, clip) for clip in record["result"]]
        return found

    def _clip(self, source: Source, clip: dict[str, Any]) -> ClipRecord:
        path = self.clip_path(source.source, clip["id"])
        return ClipRecord(clip["id"], source.source, source.domain, clip["sha256"], path, clip["width"], clip["height"])

    def clip_path(self, source: str, video_id: str) -> Path:
        """Return the path of a clip."""
        return self.folder / "clips" / source / f"{video_id}.mp4"

    def journal(self, stage: str, rank: int = 0) -> Journal:
        """Return the journal of a stage with the current settings."""
        return Journal(self.folder / "stages" / stage, self.settings.key(stage), rank, content="result")

    def records(self, stage: str) -> dict[str, dict[str, Any]]:
        """Return the record of each item of a stage with the current settings, by `item_id`."""
        return self.journal(stage).records()

    def result(self, folder: str, video_id: str) -> dict[str, Any]:
        """Return the content of ``people/<video_id>.json`` or ``tracks/<video_id>.json``.

        Args:
            folder: ``"people"`` or ``"tracks"``.
            video_id: The clip.

        Raises:
            DataError: If the file is missing or damaged.
        """
        path = self.result_path(folder, video_id)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"the file cannot be read ({error})", file=path, hint="run `microg4m curate run`") from None
        return dict(content)

    def result_path(self, folder: str, video_id: str) -> Path:
        """Return the path of ``people/<video_id>.json`` or ``tracks/<video_id>.json``."""
        return self.folder / folder / f"{video_id}.json"

    def result_key(self, stage: str, content: str) -> str:
        """Return the key of a result: the settings of its stage and the hash of what it is made from."""
        return f"{self.settings.key(stage)}-{content[:16]}"

    def write_result(self, folder: str, video_id: str, key: str, content: dict[str, Any]) -> str:
        """Write the result of a clip, keep an older one under ``older/``, and return the hash of the content."""
        data = json.dumps({"key": key, **content}, separators=(",", ":")).replace('"key":"', '"key": "', 1).encode()
        self._set_aside(folder, video_id, key)
        write_atomic(self.result_path(folder, video_id), data)
        return hashlib.sha256(data).hexdigest()

    def has_result(self, folder: str, video_id: str, key: str) -> bool:
        """Return whether the result with this key is in its place; take it back from ``older/`` if it is there."""
        path = self.result_path(folder, video_id)
        if read_key(path) == key:
            return True
        older = self._older(folder, video_id, key)
        if not older.is_file():
            return False
        self._set_aside(folder, video_id, key)
        os.replace(older, path)
        return True

    def _set_aside(self, folder: str, video_id: str, key: str) -> None:
        path = self.result_path(folder, video_id)
        present = read_key(path)
        if present is not None and present != key:
            older = self._older(folder, video_id, present)
            older.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, older)

    def _older(self, folder: str, video_id: str, key: str) -> Path:
        return self.folder / "older" / folder / f"{video_id}.{key}.json"


def item_id(name: str, content: str) -> str:
    """Return the id of an item in a journal: its name and the hash of what it is made from.

    >>> item_id("ISS_004", "0123456789abcdef0123")
    'ISS_004@0123456789abcdef'
    """
    return f"{name}@{content[:16]}"


def read_key(path: Path) -> str | None:
    """Return the key at the beginning of a result file; None if there is no such file."""
    try:
        with path.open("rb") as file:
            head = _HEAD.match(file.read(80))
    except FileNotFoundError:
        return None
    return head[1].decode() if head else ""


def read_sources(path: Path) -> list[Source]:
    """Read ``sources.csv`` of a work folder."""
    names = [field.name for field in fields(Source)]
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if missing := set(names[:4]) - set(reader.fieldnames or ()):
            hint = "run `microg4m curate init` again"
            raise DataError(f"the column {sorted(missing)[0]} is missing", file=path, hint=hint)
        rows = [Source(**{name: row.get(name) or "" for name in names}) for row in reader]
    for row in rows:
        if row.domain not in DOMAINS:
            problem = "the domain is neither real nor movie"
            raise DataError(problem, file=path, value=row.domain, hint="write one of them")
        try:
            split_clip_id(f"{row.source}_0")  # it becomes the name of a folder
        except DataError:
            hint = "put back the name that `microg4m curate init` gave the film"
            what = "the source cannot be part of a clip name"
            raise DataError(what, file=path, value=row.source, hint=hint) from None
    return rows


def write_sources(path: Path, sources: Iterable[Source]) -> None:
    """Write ``sources.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Source)])
    writer.writerows(astuple(source) for source in sources)
    write_atomic(path, text.getvalue())
