"""Unpack ``videos.zip``: check everything before a byte is written, and make the folder appear in one step.

An archive that was downloaded is not trusted: entries that would leave the folder, overwrite each other, create links
or fill the disk are errors that name the entry.
"""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import os
import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..clip_ids import split_clip_id
from ..errors import DataError, SourceError
from ..runtime import progress
from ..storage import write_atomic
from .release.layout import FILE_NAMES, VIDEOS_ZIP, find_layout

MAX_CLIPS = 100_000
MAX_CLIP_BYTES = 256 << 20
# Video does not compress: an entry that unpacks to much more than its size is a zip bomb.
MAX_RATIO, RATIO_FREE_BYTES = 50, 1 << 20
SPARE_DISK_BYTES = 64 << 20
_CLIP = re.compile(r"(?:[^/]+/)?videos/(movie|real)/([^/]+)/([^/]+)\.mp4")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ClipEntry(NamedTuple):
    """One clip of the archive, and its path relative to the folder ``videos``."""

    info: zipfile.ZipInfo
    path: str


def unpack_clips(
    archive: str | os.PathLike[str], target: str | os.PathLike[str], *, elsewhere: str = "unpack it to a larger disk"
) -> int:
    """Unpack the clips of an archive into a new folder ``target``; return their number.

    Files that are not clips are left out. After an interruption, the next call continues: clips are collected in a
    folder beside ``target`` that is renamed when all of them are complete. Only one process at a time may unpack into
    one target (:func:`unpack_release` and :func:`microg4m_hf.data.sources.resolve_root` hold a lock).

    Args:
        archive: The file ``videos.zip``.
        target: The folder to create.
        elsewhere: How a user gets the clips on a larger disk, for the error of a full one.

    Returns:
        The number of clips.

    Raises:
        SourceError: If the disk has too little space.
        DataError: If the archive is damaged or not safe.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with zipfile.ZipFile(folder / "videos.zip", "w") as made:
        ...     made.writestr("videos/real/ISS/ISS_004.mp4", b"...")
        >>> unpack_clips(folder / "videos.zip", folder / "videos")
        1
    """
    source, final = Path(archive), Path(target)
    with open_archive(source) as (opened, entries):
        scratch = _scratch_folder(final, entries)
        _check_disk(final, source, entries, scratch, elsewhere)
        for entry in progress(entries, f"unpacking {source.name}", unit="clip"):
            _extract(opened, entry, scratch, source)
    for note in scratch.glob(".*"):
        note.unlink()
    os.rename(scratch, final)
    return len(entries)


def unpack_release(folder: Path, out: Path | None = None) -> Path | None:
    """Unpack the ``videos.zip`` of a release beside it, unless the clips are there; return their folder.

    Processes that need the clips at the same time wait for the one that unpacks them.

    Args:
        folder: A folder with the released files.
        out: A new folder for the clips and copies of the annotation files, if ``folder`` cannot be written to.

    Returns:
        The folder of the clips, or None if there is neither such a folder nor an archive.

    Raises:
        SourceError: If the folder cannot be written to, or the disk has too little space.
        DataError: If the archive is damaged or not safe, or ``out`` has annotation files of another release.
    """
    from filelock import FileLock

    layout = find_layout(folder)
    if out is None and (layout.videos is not None or layout.archive is None):
        return layout.videos
    archive = layout.require("archive")
    target = (out or archive.parent) / VIDEOS_ZIP.removesuffix(".zip")
    if out is None and not os.access(archive.parent, os.W_OK):
        raise SourceError(
            f"{archive} is not unpacked, and its folder cannot be written to; make a folder with the clips and the "
            f"annotations: `microg4m data unpack --data-dir {folder} --out NEW_FOLDER`, and use that as data_dir"
        )
    elsewhere = "give out= a folder on a larger disk"
    if out is None:
        unpack = f"`microg4m data unpack --data-dir {folder} --out NEW_FOLDER`"
        elsewhere = f"unpack it to a larger disk, {unpack}, and use that as data_dir"
    paths = [path for name in FILE_NAMES if (path := getattr(layout, name)) is not None]
    copies = {} if out is None else {out / layout.name(path): path for path in paths}
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        for copy, path in copies.items():
            if copy.exists() and not filecmp.cmp(path, copy, shallow=False):
                hint = "give out= a new folder, or delete the file if its copying was interrupted"
                raise DataError(f"this is not the file of the release in {layout.root}", file=copy, hint=hint)
        if not target.is_dir():
            unpack_clips(archive, target, elsewhere=elsewhere)
        for copy, path in copies.items():
            if not copy.exists():
                write_atomic(copy, path.read_bytes())
    return target


@contextlib.contextmanager
def open_archive(source: Path) -> Iterator[tuple[zipfile.ZipFile, list[ClipEntry]]]:
    """Open an archive, check its entries, and yield both.

    Args:
        source: The file ``videos.zip``.

    Raises:
        DataError: If the archive is damaged or not safe.
    """
    try:
        with zipfile.ZipFile(source) as opened:
            yield opened, check_entries(opened, source)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise _error(source, f"the archive is damaged ({error})") from error


def check_entries(opened: zipfile.ZipFile, source: Path) -> list[ClipEntry]:
    """Return the clips in an archive; raise an error for the first entry that is not safe."""
    infos = opened.infolist()
    if len(infos) > 2 * MAX_CLIPS:
        raise _error(source, f"{len(infos)} entries are more than a release contains")
    entries: dict[str, ClipEntry] = {}
    for info in infos:
        path = _clip_path(info, source)
        if path is None:
            continue
        # Two names that a file system treats as the same file would overwrite each other.
        key = unicodedata.normalize("NFC", path).casefold()
        if key in entries:
            other = entries[key].path
            problem = "the name appears twice" if other == path else f"the name differs from {other!r} only in case"
            raise _error(source, problem, path)
        _check_size(info, source)
        entries[key] = ClipEntry(info, path)
    if not entries:
        raise _error(source, "the archive contains no clip videos/{movie,real}/<source>/<video_id>.mp4")
    if len(entries) > MAX_CLIPS:
        raise _error(source, f"{len(entries)} clips are more than a release contains")
    _check_overlap([entry.info for entry in entries.values()], source)
    packed = sum(entry.info.compress_size for entry in entries.values())
    unpacked = sum(entry.info.file_size for entry in entries.values())
    # Entries below RATIO_FREE_BYTES may expand alone, but not all together.
    if unpacked > RATIO_FREE_BYTES and unpacked > MAX_RATIO * max(1, packed):
        raise _error(source, f"{packed} bytes unpack to {unpacked}, like in a zip bomb")
    return sorted(entries.values(), key=lambda entry: entry.info.header_offset)


def _clip_path(info: zipfile.ZipInfo, source: Path) -> str | None:
    """Return the path of a clip below ``videos``; None for folders and for files that are not clips."""
    name = info.orig_filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _error(source, "the entry is a link or a device, not a file", name)
    absolute = "\\" in name or "\0" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name)
    if absolute or any(part in ("..", ".") for part in name.split("/")):
        raise _error(source, "the path leaves the folder", name)
    if info.is_dir() or not name.lower().endswith(".mp4") or name.startswith("__MACOSX/"):
        return None
    match = _CLIP.fullmatch(name)
    if match is None:
        raise _error(source, "a clip must be videos/{movie,real}/<source>/<video_id>.mp4", name)
    domain, folder, video_id = match.groups()
    try:
        clip_source, _ = split_clip_id(video_id)
    except DataError as error:
        raise _error(source, error.problem, name) from error
    if clip_source != folder:
        raise _error(source, f"the clip belongs to source {clip_source!r}, not to this folder", name)
    return f"{domain}/{folder}/{video_id}.mp4"


def _check_size(info: zipfile.ZipInfo, source: Path) -> None:
    is_bomb = info.file_size > RATIO_FREE_BYTES and info.file_size > MAX_RATIO * max(1, info.compress_size)
    problems = {
        "the entry is encrypted": info.flag_bits & 0x1,
        "the entry has a compression method that releases do not use": info.compress_type not in _METHODS,
        f"{info.file_size} bytes are too many for one clip": info.file_size > MAX_CLIP_BYTES,
        "the entry unpacks to far more than its size, like a zip bomb": is_bomb,
    }
    for problem, is_present in problems.items():
        if is_present:
            raise _error(source, problem, info.filename)


def _check_overlap(infos: list[zipfile.ZipInfo], source: Path) -> None:
    """Refuse entries that share their bytes, the other kind of zip bomb."""
    if min(info.header_offset for info in infos) < 0:
        raise _error(source, "the archive is damaged (its beginning is missing)")
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise _error(source, "entries overlap, like in a zip bomb", info.filename)
        end = info.header_offset + 30 + len(info.orig_filename.encode()) + info.compress_size


def _scratch_folder(final: Path, entries: list[ClipEntry]) -> Path:
    """Return the folder beside ``final`` where clips are collected, with what an earlier run left of this archive."""
    scratch = final.with_name(f".{final.name}.unpacking")
    listing = "\n".join(f"{entry.path} {entry.info.file_size} {entry.info.CRC}" for entry in entries)
    note = hashlib.sha256(listing.encode()).hexdigest()
    if scratch.is_dir() and not (scratch / f".{note}").is_file():
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / f".{note}").touch()
    return scratch


def _check_disk(final: Path, source: Path, entries: list[ClipEntry], scratch: Path, elsewhere: str) -> None:
    needed = sum(entry.info.file_size for entry in entries if not _is_complete(entry, scratch)) + SPARE_DISK_BYTES
    free = shutil.disk_usage(scratch).free
    if free < needed:
        text = f"unpacking {source.name} needs {needed >> 20} MB at {final.parent}, where {free >> 20} MB are free"
        raise SourceError(f"{text}; free some space or {elsewhere}")


def _is_complete(entry: ClipEntry, scratch: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return (scratch / entry.path).stat().st_size == entry.info.file_size
    return False


def _extract(opened: zipfile.ZipFile, entry: ClipEntry, scratch: Path, source: Path) -> None:
    if _is_complete(entry, scratch):
        return
    target = scratch / entry.path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    try:
        with opened.open(entry.info) as packed, open(part, "wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)  # zipfile checks length and CRC as it reads
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        part.unlink(missing_ok=True)
        raise _error(source, f"the entry is damaged ({error})", entry.path) from error
    if part.stat().st_size != entry.info.file_size:
        part.unlink()
        raise _error(source, "the entry is shorter than the archive states", entry.path)
    os.replace(part, target)


def _error(source: Path, problem: str, name: str | None = None) -> DataError:
    # In the cache of the Hub, source is a link, and the Hub's client would link the same damaged file again.
    hint = f"nothing of it is used; delete {source.resolve()} and download it again"
    # Names in an archive have up to 65,535 characters, and zipfile repeats them in its errors.
    return DataError(" ".join(problem.split())[:300], file=source.name, value=name and name[:300], hint=hint)
