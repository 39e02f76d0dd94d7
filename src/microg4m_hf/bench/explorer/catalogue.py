"""The clips of a dataset with their annotations, read once and kept as arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...data.release.actions import LABEL_OF_ID
from ...data.release.clip_files import clip_path
from ...data.release.layout import find_layout, inside
from ...data.release.release import Release, read_release
from ...data.splits import SCHEMES, split_of
from ...data.tables import har_table
from ...errors import DataError
from ...taxonomy import NUM_ACTIONS

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """One question with its reference answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Catalogue:
    """The clips of a dataset; ``place`` is the index of a clip in every sequence."""

    release: Release
    where: str
    ids: list[str]
    actions: np.ndarray  # (clips, 50) bool: whether a person in the clip does the action
    people: np.ndarray  # (clips,) number of persons
    domain: np.ndarray
    splits: dict[str, np.ndarray]  # scheme -> split of every clip, for the schemes whose files exist
    captions: dict[str, list[str]]
    questions: dict[str, list[Question]]
    texts: list[str]  # what the search looks at, per clip
    rows: pa.Table  # the har table
    place_of: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def haystack(self) -> list[str]:
        """The former name of ``texts``."""
        return self.texts

    def row(self, place: int) -> dict[str, Any]:
        """Return the clip as a row of the ``har`` config: source, domain, persons with actions, key box and track."""
        return self.rows.slice(place, 1).to_pylist()[0]

    def frame_size(self, place: int) -> tuple[int, int] | None:
        """Return width and height according to the annotations, which only boxes in pixels need."""
        sizes = self.release.frame_sizes
        if sizes is None:
            return None
        width, height = (int(sizes[name][place].as_py() or 0) for name in ("width", "height"))
        return (width, height) if width > 0 and height > 0 else None

    def clip_file(self, video_id: str) -> Path | None:
        """Return the file of a clip, if it exists and lies inside the folder of the dataset."""
        place = self.place_of.get(video_id)
        if place is None or self.release.videos is None:
            return None
        clip = self.release.clips
        path = clip_path(
            self.release.videos, clip["domain"][place].as_py(), clip["source"][place].as_py(), self.ids[place]
        )
        return path if path.is_file() and inside(path, self.release.layout.allowed) else None


def read_catalogue(root: str | os.PathLike[str], where: str | None = None) -> Catalogue:
    """Read a folder with the released files; texts, tracks, clips and splits may be missing.

    Args:
        root: The folder.
        where: What the page calls the dataset; by default the name of the folder.

    Returns:
        The clips with everything a filter can ask for.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "actions.csv").write_text("video_id,movie_or_real,person_id,action\\nISS_004,m,1,12\\n")
        >>> catalogue = read_catalogue(folder)
        >>> catalogue.ids, catalogue.people.tolist(), catalogue.clip_file("ISS_004")
        (['ISS_004'], [1], None)
    """
    layout = find_layout(root)
    need = {"har", "caption", "vqa"} if layout.texts is not None else {"har"}
    release = read_release(layout, need=need, on_error="skip")
    ids = release.clips["video_id"].to_pylist()
    table = har_table(release)
    captions = _by_clip(release.captions, lambda row: str(row["caption"]))
    questions = _by_clip(release.questions, lambda row: Question(row["question"], row["answer"]))
    return Catalogue(
        release,
        where or layout.root.name,
        ids,
        _actions(release),
        pc.list_value_length(table["persons"]).to_numpy(),
        np.asarray(release.clips["domain"].to_pylist(), dtype=object),
        _splits(release),
        captions,
        questions,
        [_searchable_text(name, captions, questions) for name in ids],
        table,
        {name: place for place, name in enumerate(ids)},
    )


def _actions(release: Release) -> np.ndarray:
    found = np.zeros((len(release.clips), NUM_ACTIONS), dtype=bool)
    places = pc.index_in(release.labels["video_id"], value_set=release.clips["video_id"].combine_chunks())
    found[places.to_numpy(), LABEL_OF_ID[release.labels["action_id"].to_numpy()]] = True
    return found


def _splits(release: Release) -> dict[str, np.ndarray]:
    found = {}
    for scheme in SCHEMES:
        try:
            found[scheme] = np.asarray(list(split_of(release, scheme).values()), dtype=object)
        except DataError:
            continue  # the files of the official split are missing
    return found


def _by_clip(table: pa.Table | None, value: Callable[[dict[str, Any]], T]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for row in table.to_pylist() if table is not None else ():
        found.setdefault(row["video_id"], []).append(value(row))
    return found


def _searchable_text(name: str, captions: dict[str, list[str]], questions: dict[str, list[Question]]) -> str:
    pairs = (text for one in questions.get(name, ()) for text in (one.question, one.answer))
    return "\n".join([name, *captions.get(name, ()), *pairs]).casefold()
