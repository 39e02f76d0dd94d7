"""Check pages with axe-core, the accessibility checker; it is downloaded from npm once and kept in a cache."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from .browser import Browser

VERSION = "4.10.3"
SHA256 = "0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292"  # of the archive
ADDRESS = f"https://registry.npmjs.org/axe-core/-/axe-core-{VERSION}.tgz"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "microg4m-axe"


def axe_script() -> str:
    """Return the script, or skip the test where the registry cannot be reached."""
    path = CACHE / f"axe-{VERSION}.min.js"
    if not path.is_file():
        try:
            with urllib.request.urlopen(ADDRESS, timeout=60) as response:
                archive = response.read()
        except (urllib.error.URLError, TimeoutError) as error:
            pytest.skip(f"axe-core is not in {CACHE} and cannot be downloaded ({error})")
        assert hashlib.sha256(archive).hexdigest() == SHA256
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            content = files.extractfile("package/axe.min.js").read()  # type: ignore[union-attr]
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(content)
        part.replace(path)
    return path.read_text(encoding="utf-8")


def violations(browser: Browser, script: str) -> list[dict[str, Any]]:
    """Return what axe finds on the page that is open: rule, impact, and the first elements."""
    browser.evaluate(f"(() => {{ {script}; return true }})()")
    found = browser.evaluate("axe.run().then(result => result.violations)")
    return [
        {"rule": one["id"], "impact": one["impact"], "html": [node["html"][:200] for node in one["nodes"][:5]]}
        for one in found
    ]
