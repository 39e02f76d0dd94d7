"""A second environment with transformers 4, which links torch from the environment of the tests."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from filelock import FileLock

PROJECT = Path(__file__).resolve().parent.parent.parent
PINS = ["transformers==4.48.3", "pillow"]


def python_with_transformers_4() -> Path:
    """Create the environment once and return its interpreter. Raises ``CalledProcessError`` without a package index."""
    ours = sysconfig.get_paths()["purelib"]
    key = hashlib.sha256("\n".join([sys.version, ours, *PINS]).encode()).hexdigest()[:12]
    folder = PROJECT / ".venvs" / f"transformers-4-{key}"
    python, ready = folder / "bin" / "python", folder / "ready"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not ready.exists():
            for older in folder.parent.glob("transformers-4-*/"):
                shutil.rmtree(older)
            uv = [sys.executable, "-m", "uv"]
            _run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
            _run([*uv, "pip", "install", "--quiet", "--python", str(python), *PINS])
            places = _run([str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"])
            link_torch(Path(places.strip()))
            ready.touch()
    return python


def link_torch(target: Path) -> None:
    """Link torch and its dependencies into ``target``, because a copy would be too big."""
    wanted, seen = ["torch"], set()
    while wanted:
        name = wanted.pop()
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        wanted += [
            needed
            for line in found.requires or []
            if "extra ==" not in line and (needed := re.split(r"[^\w.-]", line)[0].lower()) not in seen
        ]
        seen.add(name.lower())
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            link = target / top
            if not link.exists():
                link.symlink_to(Path(str(found.locate_file(top))))


def _run(words: list[str]) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=900).stdout
