"""Unpacks ``videos.zip``: everything is checked before a byte is written, and the folder appears in one step."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from ..clip_ids import split_clip_id
from ..errors import DataError, SourceError
from ..runtime import progress

MAX_CLIPS = 100_000
MAX_CLIP_BYTES = 256 << 20
# Video does not compress: an entry that unpacks to much more than it takes is a bomb.
MAX_RATIO, RATIO_FREE_BYTES = 50, 1 << 20
SPARE_DISK_BYTES = 64 << 20
_CLIP = re.compile(r"(?:[^/]+/)?videos/(movie|real)/([^/]+)/([^/]+)\.mp4")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Entry(NamedTuple):
    """One clip of the archive and where it goes, relative to the folder ``videos``."""

    info: zipfile.ZipInfo
    path: str


def unpack_clips(archive: str | os.PathLike[str], target: str | os.PathLike[str]) -> int:
    """Unpack the clips of an archive into a folder ``target`` that does not exist yet; gives their number.

    What would leave the folder, collide, link or explode is refused with the name of the entry, before anything is
    written. Files that are no clips are left out. A run that was killed is continued by the next one: clips are
    collected beside ``target``, which appears only when all of them are whole. One process at a time may unpack
    into one target (:func:`microg4m_hf.data.sources.resolve_root` holds a lock).

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(folder / "videos.zip", "w") as made:
    ...     made.writestr("videos/real/ISS/ISS_004.mp4", b"...")
    >>> unpack_clips(folder / "videos.zip", folder / "videos")
    1
    """
    source, final = Path(archive), Path(target)
    try:
        with zipfile.ZipFile(source) as opened:
            entries = check_entries(opened, source)
            scratch = _scratch(final, entries)
            _check_disk(final, source, entries, scratch)
            for entry in progress(entries, f"unpacking {source.name}", unit="clip"):
                _extract(opened, entry, scratch, source)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise _fault(source, f"the archive is damaged ({error})") from error
    _remove_notes(scratch)
    os.rename(scratch, final)
    return len(entries)


def check_entries(opened: zipfile.ZipFile, source: Path) -> list[Entry]:
    """The clips in an archive, or an error that names the first entry that cannot be trusted."""
    infos = opened.infolist()
    if len(infos) > 2 * MAX_CLIPS:
        raise _fault(source, f"{len(infos)} entries are more than a release holds")
    entries: dict[str, Entry] = {}
    for info in infos:
        path = _checked_path(info, source)
        if path is None:
            continue
        # Two names that one file system takes for the same file would overwrite each other.
        key = unicodedata.normalize("NFC", path).casefold()
        if key in entries:
            other = entries[key].path
            problem = "the name comes twice" if other == path else f"the name differs from {other!r} only in case"
            raise _fault(source, problem, path)
        _check_size(info, source)
        entries[key] = Entry(info, path)
    if not entries:
        raise _fault(source, "the archive holds no clip videos/{movie,real}/<source>/<video_id>.mp4")
    if len(entries) > MAX_CLIPS:
        raise _fault(source, f"{len(entries)} clips are more than a release holds")
    _check_overlap([entry.info for entry in entries.values()], source)
    return sorted(entries.values(), key=lambda entry: entry.info.header_offset)


def _checked_path(info: zipfile.ZipInfo, source: Path) -> str | None:
    """Where a clip goes, below ``videos``; None for folders and for files that are no clips."""
    name = info.orig_filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _fault(source, "the entry is a link or a device, not a file", name)
    if "\\" in name or "\0" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise _fault(source, "the path leaves the folder", name)
    if any(part in ("..", ".") for part in name.split("/")):
        raise _fault(source, "the path leaves the folder", name)
    if info.is_dir():
        return None
    if not name.lower().endswith(".mp4") or name.startswith("__MACOSX/"):
        return None
    match = _CLIP.fullmatch(name)
    if match is None:
        raise _fault(source, "a clip must be videos/{movie,real}/<source>/<video_id>.mp4", name)
    domain, folder, video_id = match.groups()
    try:
        clip_source, _ = split_clip_id(video_id)
    except DataError as error:
        raise _fault(source, error.problem, name) from error
    if clip_source != folder:
        raise _fault(source, f"the clip belongs to source {clip_source!r}, not to this folder", name)
    return f"{domain}/{folder}/{video_id}.mp4"


def _check_size(info: zipfile.ZipInfo, source: Path) -> None:
    if info.flag_bits & 0x1:
        raise _fault(source, "the entry is encrypted", info.filename)
    if info.compress_type not in _METHODS:
        raise _fault(source, "the entry is compressed in a way that releases do not use", info.filename)
    if info.file_size > MAX_CLIP_BYTES:
        raise _fault(source, f"{info.file_size} bytes are too many for a clip", info.filename)
    if info.file_size > RATIO_FREE_BYTES and info.file_size > MAX_RATIO * max(1, info.compress_size):
        raise _fault(source, "the entry unpacks to far more than it takes, as a zip bomb does", info.filename)


def _check_overlap(infos: list[zipfile.ZipInfo], source: Path) -> None:
    """Entries that share their bytes are the other kind of bomb."""
    if min(info.header_offset for info in infos) < 0:
        raise _fault(source, "the archive is damaged (its beginning is missing)")
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise _fault(source, "entries overlap, as in a zip bomb", info.filename)
        end = info.header_offset + 30 + len(info.orig_filename.encode()) + info.compress_size


def _scratch(final: Path, entries: list[Entry]) -> Path:
    """The folder beside ``final`` where clips are collected; what a killed run left of the same archive stays."""
    scratch = final.with_name(f".{final.name}.unpacking")
    listing = "\n".join(f"{entry.path} {entry.info.file_size} {entry.info.CRC}" for entry in entries)
    note = hashlib.sha256(listing.encode()).hexdigest()
    if scratch.is_dir() and not (scratch / f".{note}").is_file():
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / f".{note}").touch()
    return scratch


def _remove_notes(scratch: Path) -> None:
    for note in scratch.glob(".*"):
        note.unlink()


def _check_disk(final: Path, source: Path, entries: list[Entry], scratch: Path) -> None:
    wanted = sum(entry.info.file_size for entry in entries if not _is_there(entry, scratch)) + SPARE_DISK_BYTES
    free = shutil.disk_usage(scratch).free
    if free < wanted:
        text = f"unpacking {source.name} needs {wanted >> 20} MB at {final.parent}, where {free >> 20} MB are free"
        raise SourceError(f"{text}; free some space or set MICROG4M_HOME to a larger disk")


def _is_there(entry: Entry, scratch: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return (scratch / entry.path).stat().st_size == entry.info.file_size
    return False


def _extract(opened: zipfile.ZipFile, entry: Entry, scratch: Path, source: Path) -> None:
    if _is_there(entry, scratch):
        return
    target = scratch / entry.path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    try:
        with opened.open(entry.info) as packed, open(part, "wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)  # zipfile checks length and CRC as it reads
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        part.unlink(missing_ok=True)
        raise _fault(source, f"the entry is damaged ({error})", entry.path) from error
    if part.stat().st_size != entry.info.file_size:
        part.unlink()
        raise _fault(source, "the entry is shorter than the archive says", entry.path)
    os.replace(part, target)


def _fault(source: Path, problem: str, name: str | None = None) -> DataError:
    hint = f"nothing of it is used; delete {source} and fetch it again"
    return DataError(problem, file=source.name, value=name, hint=hint)
