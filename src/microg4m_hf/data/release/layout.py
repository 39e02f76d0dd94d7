"""Find the files of a release in a folder, under any folder names, and read text files safely."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ...errors import DataError, SourceError
from .faults import READ_HINT

MAX_DEPTH = 3

# The name, or pattern of names, for each field of `Layout`.
FILE_NAMES = {
    "actions": "actions.csv",
    "clips": "clips.csv",
    "boxes": "bounding_boxes.csv",
    "orientation": "orientation.csv",
    "label_map": "label_map.pbtxt",
    "texts": "vqa_and_captioning*.json",
    "ava_all": "ava_all.csv",
    "ava_train": "ava_train.csv",
    "ava_val": "ava_val_gt.csv",
    "ava_test": "ava_test_gt.csv",
    "val_predicted_boxes": "ava_val_predicted_boxes.csv",
    "test_predicted_boxes": "ava_test_predicted_boxes.csv",
}
DOMAIN_FOLDERS = ("movie", "real")
VIDEOS_ZIP = "videos.zip"
CURATED = "curation.json"  # a folder with this file is a release of `microg4m curate`
# Copies of the clips with the boxes drawn on them, not the clips themselves.
_NOT_CLIPS = "videos_annotated"


@dataclass(frozen=True)
class Layout:
    """The path of each file of a release; ``None`` for files that the folder does not contain."""

    root: Path
    actions: Path | None = None
    clips: Path | None = None  # all clips of a curated release, also those that nobody has labeled
    boxes: Path | None = None
    orientation: Path | None = None  # how the people of a curated release are turned
    label_map: Path | None = None
    texts: Path | None = None
    ava_all: Path | None = None
    ava_train: Path | None = None
    ava_val: Path | None = None
    ava_test: Path | None = None
    val_predicted_boxes: Path | None = None
    test_predicted_boxes: Path | None = None
    videos: Path | None = None
    archive: Path | None = None  # the clips as the authors release them, before they are unpacked
    refused_links: tuple[Path, ...] = ()

    @property
    def allowed(self) -> tuple[Path, ...]:
        """The folders that files and links of this release may be in."""
        return _allowed_targets(self.root)

    @property
    def has_key_frames(self) -> bool:
        """Whether any of the key-frame files exists."""
        return any((self.ava_all, self.ava_train, self.ava_val, self.ava_test))

    def name(self, path: Path) -> str:
        """Return the name of a file for messages: its path relative to the root."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    @staticmethod
    def wanted(field: str) -> str:
        """Return what a field stands for, for messages."""
        return VIDEOS_ZIP if field == "archive" else FILE_NAMES.get(field, "folder videos/ with movie/ and real/")

    def require(self, field: str) -> Path:
        """Return the path of a field, or raise a ``SourceError`` that tells what is missing and how to get it."""
        path: Path | None = getattr(self, field)
        if path is not None:
            return path
        text = f"{self.root} contains no {self.wanted(field)} (searched {MAX_DEPTH} folders deep)"
        links = [link for link in self.refused_links if fnmatchcase(link.name, FILE_NAMES.get(field, "*"))]
        if links:
            text += f"; the link {links[0]} leads out of the folder and was not followed: copy the file instead"
        elif field == "videos" and self.archive is not None:
            text += f"; unpack {self.name(self.archive)} with `microg4m data unpack --data-dir {self.root}`"
        else:
            text += "; point data_dir= at the folder with the released files, or use source='sample'"
        raise SourceError(text)


def find_layout(root: str | os.PathLike[str]) -> Layout:
    """Find the released files by their names in ``root`` and its folders, at most three deep.

    The authors' two repositories may be in one folder, under any folder names, or all files in one folder. If several
    files have the same name, the least deep one is taken, then the first in alphabetical order. Links that lead out of
    ``root`` are not followed, and the folders of the clips are not searched.

    Args:
        root: The folder to search.

    Returns:
        The path of each file that was found.

    Raises:
        SourceError: If ``root`` is not a folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "annotation_files").mkdir()
        >>> _ = (folder / "annotation_files" / "actions.csv").write_text("video_id,movie_or_real,person_id,action")
        >>> find_layout(folder).actions.name, find_layout(folder).boxes
        ('actions.csv', None)
    """
    top = Path(root).expanduser()
    if not top.is_dir():
        raise SourceError(f"{top} is not a folder; point data_dir= at the folder with the released files")
    top = top.resolve()
    allowed = _allowed_targets(top)
    found: dict[str, Path] = {}
    refused: list[Path] = []
    queue = deque([(top, 0)])
    while queue:
        folder, depth = queue.popleft()
        files, folders = _entries(folder, allowed, refused)
        for field, pattern in FILE_NAMES.items():
            matches = [path for path in files if fnmatchcase(path.name, pattern)]
            if matches and field not in found:
                # "vqa_and_captioning.json" itself before "vqa_and_captioning_v2.json"
                found[field] = min(matches, key=lambda path: (len(path.name), path.name))
        if archives := [path for path in files if path.name == VIDEOS_ZIP]:
            found.setdefault("archive", archives[0])
        if folder.name != _NOT_CLIPS and any(path.name in DOMAIN_FOLDERS for path in folders):
            found.setdefault("videos", folder)
        if depth < MAX_DEPTH:
            queue += [(path, depth + 1) for path in folders if path.name not in (*DOMAIN_FOLDERS, _NOT_CLIPS)]
    return Layout(root=top, refused_links=tuple(refused), **found)


def read_text(path: Path, name: str, max_bytes: int) -> str:
    """Return the text of a file; raise a ``DataError`` if it is too large or not UTF-8."""
    try:
        data = path.read_bytes() if path.stat().st_size <= max_bytes else None
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror or error})", file=name, hint=READ_HINT) from error
    if data is None:
        raise DataError(f"the file is larger than {max_bytes >> 20} MiB", file=name, hint="download it again")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, value = data.count(b"\n", 0, error.start) + 1, data[error.start : error.start + 8]
        raise DataError("this is not UTF-8 text", file=name, line=line, value=value, hint="save it as UTF-8") from None


def _allowed_targets(top: Path) -> tuple[Path, ...]:
    """Return where links may lead: into the root, and from a Hub snapshot into the blobs of the same repository."""
    return (top, top.parent.parent / "blobs") if top.parent.name == "snapshots" else (top,)


def _entries(folder: Path, allowed: tuple[Path, ...], refused: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return files and folders in alphabetical order, without hidden ones and links that lead outside."""
    files, folders = [], []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        return [], []
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_symlink() and not inside(path, allowed):
            refused.append(path)
        elif path.is_file():
            files.append(path)
        elif path.is_dir() and (entry.name == "videos" or not entry.is_symlink()):
            folders.append(path)  # the search reaches the folders that other links lead to by itself
    return files, folders


def inside(path: Path, allowed: tuple[Path, ...]) -> bool:
    """Return whether a path, with all links followed, is in one of the allowed folders."""
    target = Path(os.path.realpath(path))  # unlike resolve(), no error on a loop of links
    return any(target.is_relative_to(folder) for folder in allowed)
