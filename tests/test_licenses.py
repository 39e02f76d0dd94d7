"""docs/licenses.md names every installed package that is not under a permissive license, and nothing runs unpinned."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent
PAGE = (PROJECT / "docs" / "licenses.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([\w.*-]+)`", PAGE))
PERMISSIVE = re.compile(r"MIT|BSD|Apache|ISC\b|PSF|Python Software|Zlib|Unlicense|Public Domain|HPND|CC0|CNRI", re.I)
COPYLEFT = re.compile(r"\b[AL]?GPL|General Public|\bMPL|Mozilla|\bEPL|\bCDDL|Proprietary", re.I)


def installed_with_the_library() -> dict[str, metadata.Distribution]:
    """Every distribution that is installed here and that the library or one of its extras (not ``dev``) asks for."""
    found: dict[str, metadata.Distribution] = {}
    waiting: list[tuple[str, frozenset[str]]] = [("microg4m-hf", frozenset({"all"}))]
    done = set()
    while waiting:
        name, extras = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if (key, extras) in done:
            continue
        done.add((key, extras))
        try:
            distribution = found[key] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for line in distribution.requires or ():
            wanted = Requirement(line)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                waiting.append((wanted.name, frozenset(wanted.extras)))
    return found


def license_of(distribution: metadata.Distribution) -> str:
    """What the metadata says, or the beginning of the license file."""
    fields = distribution.metadata
    classifiers = [text for text in fields.get_all("Classifier", []) if text.startswith("License")]
    stated = [text for text in (fields.get("License-Expression"), fields.get("License")) if text and text != "UNKNOWN"]
    text = " ".join([*(one.strip().split("\n")[0] for one in stated), *classifiers])
    if text.strip():
        return text
    files = [file for file in distribution.files or () if re.match(r"(LICEN[CS]E|COPYING)", file.name, re.I)]
    return " ".join(Path(str(file.locate())).read_text(encoding="utf-8", errors="replace")[:200] for file in files)


def test_packages_that_are_not_permissive_are_named() -> None:
    packages = installed_with_the_library()
    assert len(packages) > 30
    special = {name for name, one in packages.items() if not _is_permissive(license_of(one))}
    patterns = [re.escape(name).replace(r"\*", ".*") for name in NAMED]
    missing = {name for name in special if not any(re.fullmatch(pattern, name) for pattern in patterns)}
    assert not missing, {name: license_of(packages[name]) for name in missing}
    assert {"certifi", "tqdm"} <= special


def _is_permissive(text: str) -> bool:
    return bool(PERMISSIVE.search(text)) and not COPYLEFT.search(text)


def test_ffmpeg_of_pyav() -> None:
    from av._core import library_meta

    assert {one["license"] for one in library_meta.values()} == {"LGPL version 3 or later"}
    assert "FFmpeg in the wheel: LGPL-3.0 or later" in PAGE
    libraries = {path.name.split("-")[0] for path in Path(metadata.distribution("av").locate_file("av.libs")).iterdir()}
    copyleft = {"libx264", "libx265", "libgmp", "libgnutls", "libmp3lame"}
    assert copyleft & libraries == copyleft & NAMED


def test_jars_of_pycocoevalcap() -> None:
    pytest.importorskip("pycocoevalcap")
    files = metadata.distribution("pycocoevalcap").files or ()
    jars = {file.name for file in files if file.suffix == ".jar" and "lib" not in file.parts}
    assert jars <= NAMED and "meteor-1.5.jar" in jars


def test_ffmpeg_of_decord() -> None:
    try:
        folder = Path(str(metadata.distribution("decord").locate_file("decord.libs")))
    except metadata.PackageNotFoundError:
        pytest.skip("decord is not installed")
    (codec,) = folder.glob("libavcodec*")
    assert b"libavcodec license: nonfree and unredistributable" in codec.read_bytes()
    assert '"nonfree and unredistributable"' in PAGE


def test_hooks_and_workflows_are_pinned() -> None:
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert all(one["repo"] == "local" or re.fullmatch(r"[0-9a-f]{40}", one["rev"]) for one in hooks["repos"])
    workflows = [path.read_text(encoding="utf-8") for path in PROJECT.glob(".github/**/*.y*ml")]
    used = [name for text in workflows for name in re.findall(r"uses:\s*(\S+)", text)]
    assert all(name.startswith("./") or re.search(r"@[0-9a-f]{40}$", name) for name in used)
    assert ("no GitHub workflows" in PAGE) == (not workflows)
