"""Find films, check that they can be cut, give them ids that never collide, and record origin and license."""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..clip_ids import split_clip_id
from ..errors import DataError, MicroG4MError, SourceError, list_some
from ..runtime import progress
from .clips.films import check_film, hash_file
from .protocols import CurateSettings
from .work import DOMAINS, SETTINGS, SOURCES, Source, Work, read_sources, write_sources

SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".3gp",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".m2v",
        ".vob",
        ".ts",
        ".m2ts",
        ".mts",
        ".flv",
        ".wmv",
        ".asf",
        ".ogv",
        ".mxf",
        ".dv",
    ]
)
LICENSES = frozenset(
    (
        *("CC0-1.0", "CC-PDDC", "CC-PDM-1.0", "PDDL-1.0", "public-domain"),
        *(f"CC-{kind}-{version}" for kind in ("BY", "BY-SA", "BY-NC", "BY-NC-SA") for version in ("2.0", "3.0", "4.0")),
        *("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "ODC-By-1.0", "CDLA-Permissive-2.0"),
    )
)
LICENSE_HINT = (
    f"known are {', '.join(sorted(LICENSES))}; write LicenseRef-<name> for terms of another kind that you have read"
)
_OWN_LICENSE = re.compile(r"LicenseRef-[A-Za-z0-9.-]{1,80}")
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]+")


class Found(NamedTuple):
    """What `init_work` did: the work folder, the films that are new, and a line about each film that was left out."""

    work: Work
    added: list[Source]
    skipped: list[str]


def init_work(
    videos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    domain: str | None = None,
    sources: str | os.PathLike[str] | None = None,
    settings: CurateSettings | None = None,
) -> Found:
    """Make a work folder, or add films to it.

    Films are read where they are; nothing is copied. A film that cannot be cut is left out with a reason, unless it was
    named itself.

    Args:
        videos: A film, a folder that is searched with all its folders, or several of them.
        out: The work folder.
        domain: ``"real"`` or ``"movie"``, for films that ``sources`` gives none.
        sources: A CSV file with the columns ``path`` (or ``source``, the name of the file without its suffix),
            ``license``, ``url``, ``attribution`` and optionally ``domain``.
        settings: The settings; by default those of the folder, for a new one those of the protocol ``default``.

    Returns:
        The work folder, the films that were added, and why others were left out.

    Raises:
        SourceError: If there is no film.
        DataError: If ``sources`` is invalid, or a film has no domain.
    """
    given = [videos] if isinstance(videos, (str, os.PathLike)) else list(videos)
    folder = Path(out).expanduser().absolute()
    known = read_sources(folder / SOURCES) if (folder / SOURCES).is_file() else []
    details = read_details(Path(sources).expanduser()) if sources is not None else {}
    roots = [Path(one).expanduser() for one in given]
    paths, skipped = _find_films(roots, folder)
    films: list[tuple[Path, str]] = []
    for path in progress(paths, "checking films", unit="film"):
        try:
            check_film(path)
            films.append((path, hash_file(path)))
        except MicroG4MError as error:
            if path in roots:
                raise
            skipped.append(str(error))
    if not films:
        what = list_some(str(one) for one in given)
        raise SourceError(
            skipped[0] if len(skipped) == 1 else f"{what}: there is no film that can be cut; name a folder with films"
        )
    added, repeated = _new_sources(films, known, domain, details)
    folder.mkdir(parents=True, exist_ok=True)
    everything = [_with_details(source, details) for source in known] + added
    settings_file = folder / SETTINGS
    if settings is not None or not settings_file.is_file():
        (settings or CurateSettings()).save(settings_file)
    write_sources(folder / SOURCES, everything)
    return Found(Work(folder), added, skipped + repeated)


def _find_films(roots: list[Path], out: Path) -> tuple[list[Path], list[str]]:
    paths: dict[Path, Path] = {}
    skipped = []
    for root in roots:
        if root.is_file():
            paths.setdefault(root.resolve(), root)
            continue
        if not root.is_dir():
            raise SourceError(f"{root} is neither a film nor a folder; name the folder with your films")
        top = root.resolve()
        for parent, folders, names in os.walk(root):
            folders[:] = sorted(
                name for name in folders if not name.startswith(".") and Path(parent, name).absolute() != out
            )
            for name in sorted(names):
                path = Path(parent, name)
                if path.suffix.lower() not in SUFFIXES or name.startswith("."):
                    continue
                real = path.resolve()
                if not real.is_relative_to(top):
                    skipped.append(f"{path} is a link that leads out of {root}; name the film itself")
                elif real.is_file():
                    paths.setdefault(real, path)
    return list(paths.values()), skipped


def _new_sources(
    films: list[tuple[Path, str]], known: list[Source], domain: str | None, details: dict[str, dict[str, str]]
) -> tuple[list[Source], list[str]]:
    """Return a source for each film that is not there yet, and a line about each film that repeats another."""
    by_content = {source.sha256: source.path for source in known}
    fresh, repeated = [], []
    for path, sha256 in films:
        if (other := by_content.get(sha256)) is None:
            by_content[sha256] = str(path.resolve())
            fresh.append((path.resolve(), sha256))
        elif other != str(path.resolve()):
            repeated.append(f"{path} has the same content as {other}")
    taken: dict[str, int] = defaultdict(int)
    for source in known:
        taken[source.source.casefold()] += 1
    for path, _ in fresh:
        taken[make_id(path.stem).casefold()] += 1
    added = []
    for path, sha256 in fresh:
        name = make_id(path.stem)
        if taken[name.casefold()] > 1:  # two films with one name, also on disks that ignore case
            name = f"{name}-{sha256[:8]}"
        source = _with_details(Source(name, str(path), sha256, domain or ""), details)
        if source.domain not in DOMAINS:
            raise DataError(
                "the film has no domain",
                file=path,
                hint="pass domain='real' or domain='movie', or a column domain in sources",
            )
        added.append(source)
    return added, repeated


def make_id(stem: str) -> str:
    """Return a source id from the name of a file.

    >>> make_id("Apollo 13 (1995)"), make_id("日本")
    ('Apollo-13-1995', 'film')
    """
    name = _NOT_IN_ID.sub("-", stem).strip("-_")[:120] or "film"
    split_clip_id(f"{name}_000")
    return name


def read_details(path: Path) -> dict[str, dict[str, str]]:
    """Return license, address, attribution and domain by the path or the name of a film.

    Args:
        path: The CSV file that a user wrote.

    Raises:
        DataError: With the line of a fault.
    """
    folder = path.parent.resolve()
    found: dict[str, dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if not columns & {"path", "source"} or "license" not in columns:
                problem = "the first line does not name path (or source) and license"
                raise DataError(problem, file=path, line=1, hint="name the columns there")
            for row in reader:
                name = _film_of(row, folder, path, reader.line_num)
                values = {key: (row.get(key) or "").strip() for key in ("domain", "license", "url", "attribution")}
                if values["license"]:
                    check_license(values["license"], path, reader.line_num)
                if values["domain"] not in ("", *DOMAINS):
                    problem = "the domain is neither real nor movie"
                    raise DataError(
                        problem, file=path, line=reader.line_num, value=values["domain"], hint="write one of them"
                    )
                found[name] = values
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"it is not a CSV file in UTF-8 ({error})", file=path, hint="save it as CSV in UTF-8") from None
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror})", file=path, hint="check the path") from None
    return found


def _film_of(row: dict[str, Any], folder: Path, file: Path, line: int) -> str:
    given = (row.get("path") or "").strip()
    if not given:
        return (row.get("source") or "").strip()
    path = (folder / given).resolve()
    if not Path(given).is_absolute() and not path.is_relative_to(folder):
        hint = "write the path of a film beside or below the file, or an absolute one"
        raise DataError("the path leaves the folder of the file", file=file, line=line, value=given, hint=hint)
    return str(path)


def check_license(license_id: str, file: Path | str, line: int | None = None) -> None:
    """Raise a ``DataError`` for a license that is not known."""
    if license_id not in LICENSES and not _OWN_LICENSE.fullmatch(license_id):
        raise DataError("unknown license", file=file, line=line, value=license_id, hint=LICENSE_HINT)


def _with_details(source: Source, details: dict[str, dict[str, str]]) -> Source:
    for name in (source.path, source.source, Path(source.path).stem, Path(source.path).name):
        if name in details:
            return replace(source, **{key: value for key, value in details[name].items() if value})
    return source
